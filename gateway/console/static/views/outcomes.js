// What became of alarms, by month and area, for the public's supervisor: counts without anybody's name, and a form to complain.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { notice, rule } from "../commands.js";
import { label, t } from "../i18n.js";
import { question } from "../reading.js";
import { role } from "../store.js";
import { html } from "../ui.js";
import { AskForm, Line, Pick, Text } from "./fields.js";
import { Ops } from "./ops.js";

const SPANS = [3, 12]; // months
const COMPLAIN = ["citizen", "supervisor", "local"]; // as gateway/console/rights.py has it
const NOTE_LIMIT = 1000;

const figures = question();
const span = signal(SPANS[0]);
const complaining = signal(false);

/** The first of so many months up to the one of `now`, as the server reads it: YYYY-MM. */
export function monthsBack(now, count) {
  const [year, month] = now.split("-").map(Number);
  const first = year * 12 + (month - 1) - (count - 1);
  return `${Math.floor(first / 12)}-${String((first % 12) + 1).padStart(2, "0")}`;
}

const today = () => new Intl.DateTimeFormat("sv-SE", { timeZone: "Asia/Shanghai", dateStyle: "short" }).format(Date.now()).slice(0, 7);
const load = () => figures.ask(`/api/v1/outcomes?${new URLSearchParams({ since: monthsBack(today(), span.value), until: today() })}`);

const percent = (share) => (share === null || share === undefined ? html`<span class="quiet">–</span>` : `${(share * 100).toFixed(1)} %`);
const seconds = (n) => (n === null || n === undefined ? html`<span class="quiet">–</span>` : t("lasted.seconds", { n: Math.round(n) }));
const few = (n, least) => (n === null || n === undefined ? html`<span class="quiet">&lt; ${least}</span>` : n);

const ComplaintFields = (props) => html`<${Pick} name="complaint_area" options=${Object.entries(figures.state.value.data?.areas ?? {})} ...${props} />
  <${Line} name="complaint_about" ...${props} /><${Text} name="complaint_note" required=${true} rows=${4} limit=${NOTE_LIMIT} ...${props} />`;

function Complain() {
  const submit = async (values) => {
    const about = values.complaint_about?.trim();
    const answer = await rule(t("outcomes.complain"), "complaints", { note: values.complaint_note.trim(), ...(values.complaint_area ? { area: values.complaint_area } : {}), ...(about ? { about } : {}) });
    if (answer.ok) notice(() => t("outcomes.complained", { id: answer.body.complaint.id }));
    return answer.ok;
  };
  return html`<${AskForm} name="complaint" title=${t("outcomes.complain")} fields=${ComplaintFields} note=${t("outcomes.complain_note")}
    check=${(values) => (values.complaint_note?.trim() ? null : "missing_text")} submit=${submit} close=${() => { complaining.value = false; }} />`;
}

function Table({ data }) {
  const names = [...new Set(data.rows.flatMap((row) => Object.keys(row.outcomes)))].sort();
  return html`<table aria-label=${t("view.outcomes")}>
    <thead><tr><th scope="col">${t("outcomes.month")}</th><th scope="col">${t("supervisor.area")}</th><th scope="col">${t("outcomes.incidents")}</th>
      ${names.map((name) => html`<th scope="col" key=${name}>${label("outcome", name)}</th>`)}
      ${["arrived_15min", "take_median", "satisfaction"].map((name) => html`<th scope="col" key=${name}>${t(`outcomes.${name}`)}</th>`)}</tr></thead>
    <tbody>${data.rows.map((row) => html`<tr key=${`${row.month} ${row.area}`}><th scope="row">${row.month}</th><td>${data.areas[row.area] ?? t("supervisor.no_area")}</td><td>${few(row.incidents, data.least)}</td>
      ${names.map((name) => html`<td key=${name}>${name in row.outcomes ? few(row.outcomes[name], data.least) : 0}</td>`)}
      <td>${percent(row.arrived_15min)}</td><td>${seconds(row.take_median_s)}</td>
      <td>${row.satisfaction === null || row.satisfaction === undefined ? html`<span class="quiet">–</span>` : t("outcomes.stars", { n: row.satisfaction.toFixed(1), rated: row.rated })}</td></tr>`)}</tbody></table>`;
}

export function Outcomes() {
  useEffect(() => { load(); }, []);
  const state = figures.state.value;
  const { data } = state;
  return html`<${Ops} name="outcomes" state=${state} again=${load}>
    <div class="filters" role="group" aria-label=${t("figures.period")}>${SPANS.map((months) => html`
      <button key=${months} aria-pressed=${span.value === months ? "true" : "false"} onClick=${() => { span.value = months; load(); }}>${t("outcomes.months", { n: months })}</button>`)}
      <span class="spring"></span>${COMPLAIN.includes(role.value) && !complaining.value && html`<button class="primary" onClick=${() => { complaining.value = true; }}>${t("outcomes.complain")}</button>`}</div>
    ${complaining.value && html`<${Complain} />`}
    ${data && (data.rows.length === 0 ? html`<p class="nothing-here">${t("outcomes.none")}</p>` : html`<${Table} data=${data} />`)}
    ${data && html`<p class="quiet small">${t("outcomes.explain", { least: data.least })}</p>`}
  <//>`;
}
