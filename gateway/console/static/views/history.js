// Everything that was, open and closed: one box for everything, every field by itself, the incident found beside the list, read-only.
import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { clockTime } from "../clock.js";
import { label, t } from "../i18n.js";
import { pastQuestion } from "../past.js";
import { LEVELS, role, session } from "../store.js";
import { Mark, Time, html, where, who } from "../ui.js";
import { form, open, opened, view } from "../work.js";
import { Exports } from "./exports.js";
import { asInstant } from "./fields.js";
import { Incident } from "./incident.js";
import { Ops } from "./ops.js";
import { printIncident } from "./print.js";
import { Story } from "./story.js";

const KINDS = ("sos medical duress fall fall_suspected heart_rate_abnormal breathing_abnormal temp_abnormal inactivity bed_exit wandering missed_checkin collision general help"
  + " fire smoke co gas water_leak temperature intrusion power_cut tamper device_removed fault low_battery offline line_lost self_test_missed press_due call_answered call_abandoned call_missed service_request").split(" ");
const OUTCOMES = ["helped", "hospital", "false_alarm", "test", "refused", "not_found", "handed_over", "merged", "cancelled"];
const TEXTS = ["incident", "person", "device", "area", "owner", "responder", "text"];
const LIMIT = 40; // characters, as the server has it

const found = pastQuestion();
const box = signal(""); // the one box for everything
const fields = signal({});
const isExporting = signal(false);
let last = null; // {path, body}: what the rows on the page are the answer to
let waiting = null; // asked for before the view was there

/** Look for it as soon as the view is there: from the search of the queue. */
export function searchPast(text) {
  box.value = text;
  waiting = text;
  view.value = "history";
}

/** A closed incident stays in this view; an open one is worked on in the queue. */
export function openPast(id, row = null) {
  if (row && row.state !== "closed") return open(id);
  opened.value = id;
  if (form.value && form.value.incident !== id) form.value = null;
  view.value = "history";
  return undefined;
}

const merge = (data, before) => (last?.after ? { ...data, incidents: [...(before?.incidents ?? []), ...data.incidents], story: before?.story, as: before?.as } : data);

function ask(path, body, after = null) {
  last = { path, body, after };
  return found.ask(path, after === null ? body : { ...body, after }, merge);
}

function byBox() {
  fields.value = {};
  if (box.value.trim().length < 2) return byFields();
  return ask("/api/v1/search", { wanted: box.value.trim() });
}

function byFields() {
  const { since, until, complaint, ...rest } = fields.value;
  const body = Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, value.trim()]).filter(([, value]) => value !== ""));
  if (since) body.since = asInstant(`${since}T00:00`);
  if (until) body.until = new Date(Date.parse(asInstant(`${until}T00:00`)) + 86_400_000).toISOString();
  if (complaint) body.complaint = complaint === "yes";
  return ask("/api/v1/history", body);
}

/** The next page; one that the box has found goes on by the field it was taken for. */
function more() {
  const { data } = found.state.value;
  const body = data.as ? { [data.as]: last.body.wanted ?? last.body[data.as] } : last.body;
  return ask("/api/v1/history", body, data.after);
}

/** What was found can be walked with the arrows at once; who has gone on to something else meanwhile is left there. */
function focusFound(from) {
  requestAnimationFrame(() => { if (document.activeElement?.closest(from)) document.querySelector(".history-list button.row")?.focus(); });
}

function set(name, value) {
  fields.value = { ...fields.value, [name]: value };
}

function Choose({ name, options, text }) {
  return html`<label class="field"><span>${t(`history.${name}`)}</span>
    <select name=${name} value=${fields.value[name] ?? ""} onChange=${(event) => set(name, event.target.value)}><option value="">${t("history.any")}</option>
      ${options.map((one) => html`<option key=${one} value=${one}>${text(one)}</option>`)}</select></label>`;
}

function Fields() {
  const onSubmit = async (event) => {
    event.preventDefault();
    box.value = "";
    await byFields();
    focusFound(".history-fields");
  };
  const hotlines = session.value?.hotlines ?? [];
  return html`<form class="history-fields" onSubmit=${onSubmit} autocomplete="off" aria-label=${t("history.fields")}>
    ${TEXTS.map((name) => html`<label class="field" key=${name}><span>${t(`history.${name}`)}</span><input name=${name} maxlength=${LIMIT} value=${fields.value[name] ?? ""} onInput=${(event) => set(name, event.target.value)} /></label>`)}
    <${Choose} name="kind" options=${KINDS} text=${(one) => label("kind", one)} />
    <${Choose} name="severity" options=${LEVELS} text=${(one) => label("severity", one)} />
    <${Choose} name="outcome" options=${OUTCOMES} text=${(one) => label("outcome", one)} />
    <${Choose} name="hotline" options=${hotlines.map((one) => one.number)} text=${(one) => t("call.hotline", { n: one })} />
    <${Choose} name="complaint" options=${["yes", "no"]} text=${(one) => t(`history.complaint_${one}`)} />
    <label class="field"><span>${t("history.since")}</span><input type="date" name="since" value=${fields.value.since ?? ""} onInput=${(event) => set("since", event.target.value)} /></label>
    <label class="field"><span>${t("history.until")}</span><input type="date" name="until" value=${fields.value.until ?? ""} onInput=${(event) => set("until", event.target.value)} /></label>
    <div class="history-buttons"><button type="submit" class="primary">${t("history.find")}</button>
      <button type="button" onClick=${() => { fields.value = {}; }}>${t("history.clear")}</button></div>
  </form>`;
}

function Row({ row }) {
  return html`<tr class=${`${row.state} ${row.id === opened.value ? "on" : ""}`}>
    <td><button class="row" onClick=${() => openPast(row.id, row)}>${row.id}</button></td>
    <td><${Time} at=${row.opened_at} /></td>
    <td><${Mark} severity=${row.severity} /> ${label("kind", row.kind)}</td>
    <td><b>${who(row, "row")}</b> <span class="quiet">${row.age ?? ""} ${where(row) ?? ""}</span></td>
    <td>${row.owner ?? "–"}</td>
    <td>${row.state === "closed" ? label("outcome", row.outcome) || t("history.ended") : html`<b class="still-open">${label("state", row.state)}</b>`}${row.complaint ? html` <span class="flag">${t("history.complained")}</span>` : ""}</td>
  </tr>`;
}

const COLUMNS = ["id", "opened", "kind", "who", "owner", "outcome"];

function Found() {
  const { data, busy } = found.state.value;
  if (!data) return null;
  return html`
    ${data.as && html`<p class="quiet small">${t("history.taken_for", { field: t(`history.${data.as}`) })}</p>`}
    ${data.story && html`<${Story} story=${data.story} show=${openPast} brief=${true} />`}
    ${data.incidents.length === 0 && !data.after && !busy && html`<p class="nothing-here">${t("history.none")}</p>`}
    ${data.incidents.length > 0 && html`<table aria-label=${t("history.found")}>
      <thead><tr>${COLUMNS.map((name) => html`<th scope="col" key=${name}>${t(`history.column_${name}`)}</th>`)}</tr></thead>
      <tbody>${data.incidents.map((row) => html`<${Row} key=${row.id} row=${row} />`)}</tbody></table>`}
    ${data.after && html`<p class="history-more"><button class="more" disabled=${busy} onClick=${more}>${t("devices.more")}</button>
      ${data.looked_to && html` <span class="quiet">${t("history.looked_to", { at: clockTime(data.looked_to) })}</span>`}</p>`}`;
}

/** In place of what is done to an open incident: paper, and the way to where a complaint or a note is written. */
export function PastActions({ row }) {
  return html`<div class="actions" role="group" aria-label=${t("incident.actions")}>
    <button onClick=${() => printIncident(row.id)}>${t("print.open")}</button>
    <button onClick=${() => open(row.id)}>${t("history.to_queue")}</button></div>`;
}

export function History() {
  const first = useRef();
  const mayExport = ["supervisor", "local"].includes(role.value);
  useLayoutEffect(() => { // at once: what is looked for by hand comes after it, and wins
    first.current.focus();
    if (waiting !== null) byBox();
    else if (!found.state.value.data) byFields();
    waiting = null;
  }, []);
  const state = found.state.value;
  const onSubmit = async (event) => {
    event.preventDefault();
    const asked = box.value;
    await byBox();
    if (asked === box.value) focusFound(".history-box");
  };
  return html`<${Ops} name="history" state=${state} again=${() => (last ? ask(last.path, last.body) : byFields())}>
    <section class="history-list">
      <div class="history-top"><form class="history-box" onSubmit=${onSubmit} autocomplete="off" role="search">
        <label class="field"><span>${t("history.box")}</span><input type="search" name="wanted" ref=${first} maxlength=${LIMIT} value=${box.value} onInput=${(event) => { box.value = event.target.value; }} /></label>
        <button type="submit" class="primary">${t("history.find")}</button>
        ${state.busy && html`<button type="button" onClick=${found.stop}>${t("history.stop")}</button>`}
      </form>
        <span class="spring"></span>
        ${mayExport && html`<button type="button" class="to-export" aria-pressed=${isExporting.value ? "true" : "false"} onClick=${() => { isExporting.value = !isExporting.value; }}>${t("exports.title")}</button>`}
      </div>
      ${isExporting.value && mayExport ? html`<${Exports} />` : html`<${Fields} /><${Found} />`}
    </section>
    <${Incident} actions=${PastActions} />
  <//>`;
}
