// The watch over people living alone: who has given which sign of life and when, who is away, and announcing that somebody is.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { label, t } from "../i18n.js";
import { question } from "../reading.js";
import { Ago, Countdown, Time, html, risks } from "../ui.js";
import { open } from "../work.js";
import { AbsenceButtons, AbsenceText, AnnounceForm } from "./absence.js";
import { Ops } from "./ops.js";

const STATES = ["", "missed", "absent", "well"];

const list = question();
const wanted = signal("");
const announcing = signal(null); // the person whose form is open in the list

const query = (after) => new URLSearchParams(Object.entries({ state: wanted.value, after }).filter(([, value]) => value));
const load = (after = null) =>
  list.ask(`/api/v1/watch?${query(after)}`, (data, before) => (after ? { ...data, watched: [...(before?.watched ?? []), ...data.watched] } : data));

/** How many in a state; those who are well are counted as watched. */
const countOf = (counts, name) => (name ? counts[name === "well" ? "watched" : name] : counts.watched + counts.absent + counts.missed);

const stateOf = (one) => (one.absent ? "absent" : one.incident ? "missed" : "well");

function Row({ one }) {
  const state = stateOf(one);
  const { person } = one;
  const close = () => { announcing.value = null; };
  const done = () => { close(); load(); };
  return html`<tr class=${state}>
      <td><b>${person.name}</b> ${person.age ? t("person.age", { n: person.age }) : ""} <span class="quiet">${risks(person.risks)}</span></td>
      <td>${person.place ?? "–"}</td>
      <td><span class=${`watch-state ${state}`}>${t(`watch.state_${state}`)}</span> ${one.incident && html`<button class="row small" onClick=${() => open(one.incident)}>${one.incident}</button>`}
        ${one.path_out && html`<p class="small">${t("watch.path_out")}</p>`}</td>
      <td>${one.last_sign_at ? html`${label("kind", one.last_sign)} · <${Ago} at=${one.last_sign_at} />` : html`<span class="quiet">${t("watch.no_sign")}</span>`}</td>
      <td>${one.absent ? html`<${AbsenceText} absent=${one.absent} />` : one.due_at ? html`<${Countdown} at=${Date.parse(one.due_at)} /> <${Time} at=${one.due_at} />` : "–"}</td>
      <td><${AbsenceButtons} person=${person} absent=${one.absent} announce=${() => { announcing.value = announcing.value === person.id ? null : person.id; }} done=${done} /></td>
    </tr>
    ${announcing.value === person.id && html`<tr><td colspan="6"><${AnnounceForm} person=${person} done=${done} close=${close} /></td></tr>`}`;
}

export function Watch() {
  useEffect(() => { load(); }, []);
  const state = list.state.value;
  const { data, busy } = state;
  return html`<${Ops} name="watch" state=${state} again=${() => load()}>
    <section class="watch-list">
      <div class="filters" role="group" aria-label=${t("queue.tabs")}>${STATES.map((name) => html`
        <button key=${name} aria-pressed=${wanted.value === name ? "true" : "false"} onClick=${() => { wanted.value = name; load(); }}>${name ? t(`watch.state_${name}`) : t("tab.all")} ${data && html`<span>${countOf(data.counts, name)}</span>`}</button>`)}</div>
      ${data && data.watched.length === 0 && html`<p class="nothing-here">${t(wanted.value ? "watch.none_so" : "watch.none")}</p>`}
      ${data?.watched.length > 0 && html`<table aria-label=${t("view.watch")}>
        <thead><tr>${["person", "place", "state", "last_sign", "due", "actions"].map((name) => html`<th scope="col" key=${name}>${name === "place" ? t("devices.place") : t(`watch.${name}`)}</th>`)}</tr></thead>
        <tbody>${data.watched.map((one) => html`<${Row} key=${one.person.id} one=${one} />`)}</tbody>
      </table>`}
      ${data?.after && html`<button class="more" disabled=${busy} onClick=${() => load(data.after)}>${t("devices.more")}</button>`}
    </section>
  <//>`;
}
