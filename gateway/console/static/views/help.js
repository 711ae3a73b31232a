// The list of keys.
import { useLayoutEffect, useRef } from "preact/hooks";
import { label, t } from "../i18n.js";
import { KEYS } from "../keys.js";
import { html } from "../ui.js";
import { letters } from "../settings.js";
import { helpShown, reachable } from "../work.js";

const NO_VIEW = new Set(["lock", "map", "notices"]); // what G leads to and is no page of VIEWS

export function Help() {
  const box = useRef();
  useLayoutEffect(() => {
    const before = document.activeElement;
    box.current?.focus();
    return () => before?.focus?.();
  }, []);
  const views = new Set(reachable.value);
  const rows = KEYS.filter((key) => key.shown && (key.group !== "views" || NO_VIEW.has(key.does) || views.has(key.does)));
  const groups = [...new Set(rows.map((key) => key.group))];
  const actionsIn = (group) => [...new Set(rows.filter((key) => key.group === group).map((key) => key.does))];
  return html`
    <div class="help" role="dialog" aria-modal="true" aria-label=${t("help.title")} tabindex="-1" ref=${box}>
      <div class="help-head"><h2>${t("help.title")}</h2><button onClick=${() => { helpShown.value = false; }}>${t("help.close")} <kbd>Esc</kbd></button></div>
      <div class="key-groups">${groups.map((group) => html`<section key=${group}><h3>${t(`key_group.${group}`)}</h3>
        <dl>${actionsIn(group).map((action) => html`
          <div key=${action}><dt>${rows.filter((key) => key.does === action).map((key) => html`<kbd key=${key.shown}>${key.shown}</kbd>`)}</dt><dd>${label("key", action)}</dd></div>`)}</dl></section>`)}</div>
      <label class="setting"><input type="checkbox" checked=${letters.value} onChange=${(event) => { letters.value = event.target.checked; }} /> ${t("help.letters")}</label>
      <p class="quiet small">${t("help.note")}</p>
    </div>`;
}
