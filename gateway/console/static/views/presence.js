// Who else looks at an incident or edits it: told up the socket by every console, shown as ◎ and ✎ with the name.
import { computed } from "@preact/signals";
import { t } from "../i18n.js";
import { me, operators } from "../store.js";
import { html } from "../ui.js";

const NAMES_SHOWN = 2;

/** Incident → [{name, mode}] of the others; those who edit first. */
const present = computed(() => {
  const found = new Map();
  for (const one of operators.value) {
    if (!one.view || one.name === me.value) continue;
    if (!found.has(one.view)) found.set(one.view, []);
    found.get(one.view).push({ name: one.name, mode: one.mode === "edit" ? "edit" : "look" });
  }
  for (const list of found.values()) list.sort((a, b) => (a.mode < b.mode ? -1 : a.mode > b.mode ? 1 : 0));
  return found;
});

/** As much of a name as a narrow column has room for: the family name of a Chinese one, three letters of others. */
const short = (name) => (/^\p{Script=Han}/u.test(name) ? [...name][0] : name.slice(0, 3));

/** ◎ name, ✎ name, shortened, of everybody but `but` (who is named beside it already); with more than two their number. The whole names are in the title, and are read out. */
export function Presence({ id, but = null }) {
  const others = (present.value.get(id) ?? []).filter((one) => one.name !== but);
  if (others.length === 0) return null;
  const words = others.map((one) => t(`presence.${one.mode}`, { name: one.name })).join(", ");
  return html`<span class="presence" title=${words}>${others.slice(0, NAMES_SHOWN).map((one) => html`<span key=${one.name} class=${one.mode}><i aria-hidden="true">${one.mode === "edit" ? "✎" : "◎"}</i><span aria-hidden="true">${short(one.name)}</span></span>`)}${
    others.length > NAMES_SHOWN ? html` +${others.length - NAMES_SHOWN}` : ""}<span class="unseen">${words}</span></span>`;
}
