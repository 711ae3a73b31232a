// The frame of the views beside the queue: a title, from when it is what is shown, and the way back.
import { useLayoutEffect, useRef } from "preact/hooks";
import { t } from "../i18n.js";
import { html } from "../ui.js";
import { reachable, view } from "../work.js";
import { Notices } from "./queue.js";

/** state: of a question (reading.js); again: asks it anew. */
export function Ops({ name, state, again, children }) {
  const box = useRef();
  useLayoutEffect(() => { // unless a field in it has the focus already
    if (!box.current.contains(document.activeElement)) box.current.focus({ preventScroll: true });
  }, []);
  const { at, error, busy } = state;
  return html`
    <main class=${`ops ${name}`} tabindex="-1" ref=${box} aria-label=${t(`view.${name}`)} onKeyDown=${moveAmongRows}>
      <header class="ops-head">
        <h2>${t(`view.${name}`)}</h2>
        <span class="spring"></span>
        <span role="status" class=${error ? "error" : "quiet"}>${error || (busy && !at ? t("form.loading") : at ? t("view.as_of", { at }) : "")}</span>
        <button onClick=${again}>${t("view.again")}</button>
        ${reachable.value.includes("queue") && html`<button class="primary" onClick=${() => { view.value = "queue"; }}>${t("view.back")} <kbd>Esc</kbd></button>`}
      </header>
      <div class="ops-body">${children}</div>
      <${Notices} />
    </main>`;
}

/** Up and down go from row to row, as in the queue. */
function moveAmongRows(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.code];
  if (!step || !event.target.closest?.("button.row")) return;
  const rows = [...event.currentTarget.querySelectorAll("button.row")];
  rows[rows.indexOf(event.target) + step]?.focus();
  event.preventDefault();
}
