// Beside the records: what file and people disagree about, how good the data are, figures of a region, and taking a new file.
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { notice, rule } from "../commands.js";
import { exchange } from "../exchange.js";
import { label, reasonText, t } from "../i18n.js";
import { question } from "../reading.js";
import { role } from "../store.js";
import { Time, html } from "../ui.js";
import { AskForm, ReasonField } from "./fields.js";
import { choose } from "./register_record.js";

const PATIENCE_MS = 120_000; // a register of a city is read in half a minute
const UPLOAD_LIMIT = 64 * 1024 * 1024; // as the server has it
const FILES = ["persons", "contacts", "devices", "responders", "rosters", "loans", "providers", "agreements"];

export const conflicts = question();
const quality = question();
const facets = question();
const listed = question();
const deciding = signal(null); // {row, decision}
const looked = signal(null); // which count's records are shown

export function loadTab(name) {
  if (name === "conflicts") conflicts.ask("/api/v1/register/conflicts");
  if (name === "quality") quality.ask("/api/v1/register/quality");
  if (name === "facets") facets.ask("/api/v1/register/facets");
}

const fieldText = (field) => (field ? t(`register_field.${field}`) : "");
const isLead = () => role.value === "supervisor" || role.value === "local";

// --- conflicts ---

function Decide() {
  const { row, decision } = deciding.value;
  const submit = async (values) => {
    const answer = await rule(row.title, "register/decide", { correction: row.number, decision, reason: values.reason.trim() });
    if (!answer.ok) return false;
    notice(() => `${row.title} ✓`);
    loadTab("conflicts");
    return true;
  };
  return html`<${AskForm} key=${`${row.number} ${decision}`} name="register-decide" title=${`${t(`register.decide_${decision}`)} · ${row.title}`} fields=${ReasonField}
    check=${(values) => (values.reason?.trim() ? null : "missing_why")} submit=${submit} close=${() => { deciding.value = null; }} />`;
}

function Conflict({ row }) {
  const ask = (decision) => html`<button class="small" onClick=${() => { deciding.value = { row, decision }; }}>${t(`register.decide_${decision}`)}<span class="unseen"> ${row.title} ${fieldText(row.field)}</span></button>`;
  return html`<tr>
    <td><button class="row" onClick=${() => choose(row.kind, row.key)}>${row.title}</button> <span class="quiet">${t(`register_kind.${row.kind}`)}</span></td>
    <td>${t(`register_state.${row.state}`)} ${fieldText(row.field)}${row.why ? html`<div class="quiet small">${row.why}</div>` : ""}</td>
    <td>${row.ours || (row.field === "rows" ? t("register.a_list") : "–")} <span class="quiet">${row.by} ${row.at && html`<${Time} at=${row.at} />`} ${row.reason}</span></td>
    <td>${row.file || (row.field === "rows" ? t("register.a_list") : "–")}</td>
    <td><b>${t(row.in_force ? "register.ours_counts" : "register.file_counts")}</b>${row.state === "conflict" && isLead() ? html`<div>${ask("keep")} ${ask("file")}</div>` : ""}</td></tr>`;
}

export function Conflicts() {
  const { data, error } = conflicts.state.value;
  if (!data) return html`<p class=${error ? "error" : "quiet"}>${error || t("form.loading")}</p>`;
  return html`<p class="quiet">${t("register.conflicts_note", { standing: data.standing, agreed: data.counts.agreed })}</p>
    ${deciding.value && html`<${Decide} />`}
    ${data.rows.length === 0 ? html`<p class="nothing-here">${t("register.no_conflicts")}</p>` : html`<table class="register-conflicts" aria-label=${t("register.tab_conflicts")}>
      <thead><tr>${["record", "what", "ours", "file", "counts"].map((name) => html`<th scope="col" key=${name}>${t(`register.column_${name}`)}</th>`)}</tr></thead>
      <tbody>${data.rows.map((row) => html`<${Conflict} key=${`${row.number} ${row.field}`} row=${row} />`)}</tbody></table>`}
    ${data.more && html`<p class="quiet">${t("register.more")}</p>`}`;
}

// --- data quality ---

function look(what, after = null) {
  looked.value = what;
  listed.ask(`/api/v1/register/quality/${what}${after ? `?after=${encodeURIComponent(after)}` : ""}`, (data, before) => (after ? { ...data, rows: [...before.rows, ...data.rows] } : data));
}

export function Quality() {
  const { data, error } = quality.state.value;
  if (!data) return html`<p class=${error ? "error" : "quiet"}>${error || t("form.loading")}</p>`;
  const rows = listed.state.value.data;
  return html`<p class="quiet">${t("register.quality_note", { n: data.persons })}</p>
    <ul class="register-quality">${Object.entries(data.counts).map(([what, count]) => html`<li key=${what}><button disabled=${count === 0} aria-pressed=${looked.value === what ? "true" : "false"} onClick=${() => look(what)}><b>${count}</b> ${t(`register_quality.${what}`)}</button></li>`)}</ul>
    ${looked.value && rows && html`<table aria-label=${t(`register_quality.${looked.value}`)}><thead><tr><th scope="col">${t("register.name")}</th><th scope="col">${t("register.about")}</th><th scope="col">${t("register_field.confirmed_on")}</th></tr></thead>
      <tbody>${rows.rows.map((row) => html`<tr key=${row.key}><td><button class="row" onClick=${() => choose(row.kind, row.key)}>${row.title}</button></td><td>${row.place ?? row.line ?? ""}</td><td class="quiet">${row.confirmed_on ?? "–"}</td></tr>`)}</tbody></table>
      ${rows.after && html`<button class="more" onClick=${() => look(looked.value, rows.after)}>${t("devices.more")}</button>`}`}`;
}

// --- figures of a region ---

const wordOf = (facet, word) => (facet === "needs" && word !== "entitled" && word !== "watched" ? label("category", word) : (facet === "family" && word !== "no_contact") || (facet === "health" && word !== "health_known") ? label("risk", word) : t(`register_facet.${word}`));

export function Facets() {
  const { data, error } = facets.state.value;
  if (!data) return html`<p class=${error ? "error" : "quiet"}>${error || t("form.loading")}</p>`;
  return html`<p class="quiet">${t("register.facets_note", { n: data.least })}</p>
    ${Object.entries(data.facets).map(([facet, words]) => html`<section key=${facet}><h3>${t(`register.facet_${facet}`)}</h3><div class="scroll" tabindex="0" role="group" aria-label=${t(`register.facet_${facet}`)}><table class="figures-table">
      <caption class="unseen">${t(`register.facet_${facet}`)}</caption>
      <thead><tr><th scope="col">${t("register_field.area")}</th>${words.map((word) => html`<th scope="col" key=${word}>${wordOf(facet, word)}</th>`)}</tr></thead>
      <tbody>${data.rows.map((row) => html`<tr key=${row.area}><th scope="row">${row.name || t("register.no_area")}</th>${words.map((word) => html`<td key=${word}>${row.counts[word] ?? html`<span class="quiet" title=${t("register.suppressed")}>·</span>`}</td>`)}</tr>`)}</tbody></table></div></section>`)}`;
}

// --- a new file ---

const file = signal({ kind: "persons", name: "", csv: "", seen: null, error: "", busy: false });

async function send(path, body) {
  const { status, body: said } = await exchange(`/api/v1/register/${path}`, { body, patience: PATIENCE_MS });
  return { ok: status === 200, body: said };
}

async function preview() {
  const { kind, csv } = file.value;
  file.value = { ...file.value, busy: true, error: "", seen: null };
  const answer = await send("import", { kind, csv });
  file.value = { ...file.value, busy: false, ...(answer.ok ? { seen: answer.body } : { error: reasonText(answer.body) }) };
}

async function chose(event) {
  const one = event.target.files[0];
  if (!one) return;
  if (one.size > UPLOAD_LIMIT) {
    file.value = { ...file.value, name: one.name, csv: "", seen: null, error: t("reason.body_too_large") };
    return;
  }
  try {
    file.value = { ...file.value, name: one.name, csv: new TextDecoder("utf-8", { fatal: true }).decode(await one.arrayBuffer()) };
  } catch {
    file.value = { ...file.value, name: one.name, csv: "", seen: null, error: t("register.not_utf8") };
    return;
  }
  await preview();
}

function Take({ seen }) {
  const submit = async (values) => {
    const { kind, csv } = file.value;
    const answer = await send("import/take", { kind, csv, digest: seen.digest, reason: values.reason.trim() });
    if (!answer.ok) {
      file.value = { ...file.value, error: reasonText(answer.body) };
      return false;
    }
    notice(() => t("register.taken", { n: answer.body.records, kind: t(`register_kind.${kind}`) }));
    file.value = { ...file.value, csv: "", name: "", seen: null, error: "" };
    loadTab("conflicts");
    return true;
  };
  return html`<${AskForm} name="register-take" title=${t("register.take")} note=${t("register.take_note")} fields=${ReasonField} check=${(values) => (values.reason?.trim() ? null : "missing_why")} submit=${submit} close=${() => { file.value = { ...file.value, seen: null }; }} />`;
}

function Changes({ seen }) {
  const rows = [
    ...seen.changed_shown.map((one) => ({ ...one, what: "changed" })),
    ...seen.missing_shown.map((one) => ({ ...one, what: "missing" })),
    ...seen.new_shown.map((one) => ({ ...one, what: "new" })),
  ];
  if (rows.length === 0) return "";
  return html`<div class="scroll tall" tabindex="0" role="group" aria-label=${t("register.changes")}><table aria-label=${t("register.changes")}>
    <thead><tr><th scope="col">${t("register.column_what")}</th><th scope="col">${t("register.column_record")}</th><th scope="col">${t("register.column_fields")}</th></tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${`${row.what} ${row.key}`}><td>${t(`register_change.${row.what}`)}</td><td>${row.title && row.title !== row.key ? `${row.title} ` : ""}<span class="quiet">${row.key}</span></td>
      <td>${row.rows ? t("register.rows_change", { a: row.rows[0], b: row.rows[1] }) : Object.entries(row.fields ?? {}).map(([name, [before, after]]) => html`<span class="change" key=${name}>${fieldText(name)}: ${before || "–"} → <b>${after || "–"}</b></span>`)}</td></tr>`)}</tbody></table></div>`;
}

export function Import() {
  const { kind, name, seen, error, busy } = file.value;
  const [asks, setAsks] = useState(false);
  return html`<form class="register-find" onSubmit=${(event) => event.preventDefault()}>
      <label class="field"><span>${t("register.file_kind")}</span><select value=${kind} onChange=${(event) => { file.value = { ...file.value, kind: event.target.value, seen: null, error: "" }; if (file.value.csv) preview(); }}>
        ${FILES.map((one) => html`<option key=${one} value=${one}>${t(`register_kind.${one}`)}</option>`)}</select></label>
      <label class="field"><span>${t("register.file")}</span><input type="file" accept=".csv,text/csv" onChange=${chose} /></label>
      <span class="quiet">${name}</span></form>
    <p class="quiet small">${t("register.import_note")}</p>
    ${busy && html`<p class="quiet" role="status">${t("form.loading")}</p>`}${error && html`<p class="error" role="alert">${error}</p>`}
    ${seen && html`<section aria-label=${t("register.preview")}>
      <ul class="register-quality counts">${["records", "same", "new", "changed", "missing"].map((one) => html`<li key=${one}><b>${seen[one]}</b> ${t(`register_change.${one}`)}</li>`)}<li><b>${seen.conflicts.length}</b> ${t("register.tab_conflicts")}</li><li><b>${seen.agreed}</b> ${t("register_state.agreed")}</li></ul>
      ${seen.faults.length > 0 && html`<div class="error" role="alert"><h3>${t("register.faults")}</h3><ul>${seen.faults.map((fault) => html`<li key=${fault}>${fault}</li>`)}</ul></div>`}
      ${seen.conflicts.length > 0 && html`<h3>${t("register.tab_conflicts")}</h3><table aria-label=${t("register.tab_conflicts")}><thead><tr>${["record", "what", "ours", "file", "counts"].map((one) => html`<th scope="col" key=${one}>${t(`register.column_${one}`)}</th>`)}</tr></thead>
        <tbody>${seen.conflicts.map((row) => html`<tr key=${`${row.number} ${row.field}`}><td>${row.title} <span class="quiet">${row.key}</span></td><td>${t(`register_state.${row.state}`)} ${fieldText(row.field)}</td><td>${row.ours || "–"} <span class="quiet">${row.by} ${row.at && html`<${Time} at=${row.at} />`}</span></td><td>${row.file || row.why || "–"}</td><td>${t(row.in_force ? "register.ours_counts" : "register.file_counts")}</td></tr>`)}</tbody></table>`}
      <${Changes} seen=${seen} />
      ${seen.may_take && (asks ? html`<${Take} seen=${seen} />` : html`<p><button class="primary" onClick=${() => setAsks(true)}>${t("register.take")}</button></p>`)}
    </section>`}`;
}
