// What people have said to everybody, and a shift that waits for the one who is here. It covers no form, takes no focus, moves nothing below.
import { signal } from "@preact/signals";
import { rule } from "../commands.js";
import { t } from "../i18n.js";
import { me, noticesChanged, state } from "../store.js";
import { Ago, Time, html } from "../ui.js";
import { view } from "../work.js";

const SHOWN = 3; // cards at once; the others follow

const later = signal(new Set()); // shifts that somebody will look at later, in this window

const isForMe = (one) => one.by !== me.value;

/** What concerns the one who is here and was not answered yet: [{type, id, …}]. */
function announced() {
  noticesChanged.value;
  if (me.value === null) return [];
  const notices = [...state.notices.values()].filter((one) => isForMe(one) && !one.acknowledged.includes(me.value));
  const shifts = [...state.shifts.values()].filter((one) => isForMe(one) && (!one.to || one.to === me.value) && !later.value.has(one.id) && view.value !== "shift");
  return [...shifts, ...notices].sort((a, b) => (a.at < b.at ? -1 : 1));
}

/** To the buttons of the first card: by key. */
export const focusAnnouncements = () => document.querySelector(".announced button")?.focus();

function Notice({ one }) {
  const acknowledge = () => rule(t("announced.notice"), `notices/${encodeURIComponent(one.id)}/acknowledge`, {});
  const isReveal = one.to === "supervisors"; // nobody wrote it: somebody looked where it was not their part
  return html`<li class=${`notice ${isReveal ? "emergency" : ""}`}><p><b>${t(isReveal ? "announced.reveal" : "announced.notice")}</b> ${one.by} <${Time} at=${one.at} /></p><p class="said">${one.text}</p>
    <button class="primary" onClick=${acknowledge}>${t("announced.read")}</button></li>`;
}

function Offered({ one }) {
  return html`<li class="offered"><p><b>${t("announced.shift", { by: one.by })}</b> <${Ago} at=${one.at} /></p>
    <button class="primary" onClick=${() => { view.value = "shift"; }}>${t("announced.look")} <kbd>G H</kbd></button>
    <button onClick=${() => { later.value = new Set(later.value).add(one.id); }}>${t("announced.later")}</button></li>`;
}

export function Announcements() {
  const all = announced();
  return html`<aside class=${`announced ${all.length ? "" : "none"}`} aria-label=${t("announced.title")} aria-live="polite">
    ${all.length > 0 && html`<p class="announced-head">${t("announced.title")} ${all.length} <kbd>G N</kbd></p>
      <ul>${all.slice(0, SHOWN).map((one) => html`<${one.type === "shift" ? Offered : Notice} key=${`${one.type} ${one.id}`} one=${one} />`)}</ul>`}
  </aside>`;
}
