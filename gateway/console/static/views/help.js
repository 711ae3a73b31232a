// The list of keys.
import { useEffect, useRef } from "preact/hooks";
import { label, t } from "../i18n.js";
import { KEYS } from "../keys.js";
import { html } from "../ui.js";
import { helpShown } from "../work.js";

export function Help() {
  const box = useRef();
  useEffect(() => {
    const before = document.activeElement;
    box.current?.focus();
    return () => before?.focus?.();
  }, []);
  const actions = [...new Set(KEYS.filter((key) => key.shown).map((key) => key.does))];
  return html`
    <div class="help" role="dialog" aria-modal="true" aria-label=${t("help.title")} tabindex="-1" ref=${box}>
      <div class="help-head"><h2>${t("help.title")}</h2><button onClick=${() => { helpShown.value = false; }}>${t("help.close")} <kbd>Esc</kbd></button></div>
      <dl>${actions.map((action) => html`
        <div key=${action}><dt>${KEYS.filter((key) => key.does === action).map((key) => html`<kbd key=${key.shown}>${key.shown}</kbd>`)}</dt><dd>${label("key", action)}</dd></div>`)}</dl>
      <p class="quiet small">${t("help.note")}</p>
    </div>`;
}
