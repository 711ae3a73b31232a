// A section of the incident that can be folded away; what a person has folded stays so, in this browser.
import { signal } from "@preact/signals";
import { t } from "../i18n.js";
import { html } from "../ui.js";

const KEPT = "folded";

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {}; // a browser that keeps nothing
  }
}

/** section → is it folded? */
const folded = signal(kept());

function turn(name) {
  folded.value = { ...folded.value, [name]: !folded.value[name] };
  try {
    localStorage.setItem(KEPT, JSON.stringify(folded.value));
  } catch {
    // for this page only
  }
}

/** title: beside the mark; count: how much is in it, shown also when it is folded. */
export function Fold({ name, title, count = "", children }) {
  const isFolded = Boolean(folded.value[name]);
  return html`<section class=${`fold ${name}`}>
    <h3><button class="turn" aria-expanded=${isFolded ? "false" : "true"} title=${t(isFolded ? "fold.open" : "fold.close")} onClick=${() => turn(name)}><i aria-hidden="true">${isFolded ? "▸" : "▾"}</i> ${title} <span class="quiet">${count}</span></button></h3>
    ${!isFolded && children}
  </section>`;
}
