// One record of the register: each field with who said it and when; opening it for a reason, correcting it in place, its history.
import { signal } from "@preact/signals";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { notice, rule } from "../commands.js";
import { label, t } from "../i18n.js";
import { question } from "../reading.js";
import { role } from "../store.js";
import { Time, html } from "../ui.js";
import { SHOWN_MS } from "../work.js";
import { AskForm, Pick, ReasonField } from "./fields.js";
import { RowsEditor, WeekOf } from "./register_rows.js";

const OLD_DAYS = 366; // domain 4.3
const SOURCES = ["caller", "family", "neighbour", "visit", "document", "other"];
const LONG = new Set(["address", "health_note", "conditions", "medicines", "allergies", "duties", "blocked"]);
const CHOICES = {
  ability: ["self_caring", "semi_disabled", "disabled"],
  entitled: ["yes", "no"], urgent: ["yes", "no"], both: ["yes", "no"], model: ["yes", "no"],
  state: ["applied", "admitted", "probation", "suspended", "exited"],
  channel: ["mqtt", "webhook", "phone", "sip", "sms", "modem", "email", "robot", "console"],
  mode: ["foot", "bicycle", "car"],
};
const NEEDED = {
  persons: ["id", "name", "area", "address", "phones", "born", "ability", "risks"],
  devices: ["id", "line", "person", "home", "area", "place", "model", "phone", "class", "via"],
  responders: ["id", "name", "kind", "parent", "areas", "lat", "lon", "channel", "address", "phone"],
  providers: ["id", "state", "since", "until", "services", "urgent", "response_min"],
  agreements: ["id", "helper", "helped", "since", "until", "kinds", "duties", "response_min", "both"],
  loans: ["id", "lender", "borrower", "since", "until", "staff", "skills"],
};

/** {kind, key} of the record beside the list; {kind, isNew} of one that is being written. */
export const chosen = signal(null);
const one = question();
const form = signal(null); // "open" | "edit" | "rows:contacts" | "rows:rosters" | "remove" | {take_back: correction}
const afterOpening = signal(null);
const full = signal(null); // what was opened for a reason; forgotten with the record

/** Masked again after a minute; whoever is writing goes on seeing what they correct. */
function maskLater(shown) {
  setTimeout(() => {
    if (full.value !== shown) return;
    if (form.value === null) full.value = null;
    else maskLater(shown);
  }, SHOWN_MS);
}

const pathOf = ({ kind, key }) => `/api/v1/register/records/${kind}/${key.split("/").map(encodeURIComponent).join("/")}`;
const nameOf = (field) => t(`register_field.${field}`);

export function choose(kind, key) {
  chosen.value = { kind, key };
  form.value = null;
  full.value = null;
  readAgain();
}

export function startNew(kind) {
  chosen.value = { kind, isNew: true };
  form.value = null;
}

/** Read it anew, opened if it was. */
export function readAgain() {
  const now = chosen.value;
  if (!now || now.isNew) return;
  one.ask(pathOf(now));
}

async function openFor(reason) {
  const now = chosen.value;
  const answer = await rule(t("view.register"), pathOf(now).slice("/api/v1/".length), { reason });
  if (answer.ok && chosen.value === now) {
    full.value = { ...answer.body, reason };
    maskLater(full.value);
    form.value = afterOpening.value;
    afterOpening.value = null;
  }
  return answer.ok;
}

/** Something of the record was changed: what was opened is read anew under the same reason. */
async function changed() {
  const reason = full.value?.reason;
  form.value = null;
  readAgain();
  if (reason) await openFor(reason);
}

async function tell(what, body, said) {
  const answer = await rule(chosen.value?.key ?? "", `register/${what}`, body);
  if (answer.ok) notice(() => said);
  return answer;
}

/** The faults of a refusal, field by field. */
const faultsOf = (answer) => (answer.body.faults ?? []).map((fault) => `${fault.field ? `${fieldText(fault.field)}: ` : ""}${fault.what}${fault.remedy ? `; ${fault.remedy}` : ""}`);
const fieldText = (field) => (/^\d+\./.test(field) ? `${field.split(".")[0]}. ${nameOf(field.split(".")[1])}` : nameOf(field));

function Source({ source }) {
  if (source.from === "person") {
    return html`<span class="said" title=${source.reason}><b>${source.by}</b> <${Time} at=${source.at} />${source.source ? ` · ${t(`register_source.${source.source}`)}` : ""}<span class="quiet"> ${source.reason}</span></span>`;
  }
  return html`<span class=${source.days > OLD_DAYS ? "soon" : "quiet"}>${t("register.from_file", { day: source.day, level: t(`register_level.${source.level}`) })}</span>`;
}

function valueText(field, value) {
  if (!value) return "–";
  if (field === "ability") return label("risk", value);
  if (field === "risks") return value.split(";").map((risk) => label("risk", risk)).join(" ");
  if (field === "categories") return value.split(";").map((word) => label("category", word)).join(" ");
  if (field === "state") return label("provider_state", value);
  if (field === "kind") return label("responder_kind", value);
  return value.split(";").join(" · ");
}

function Confirmed({ record }) {
  if (!("confirmed" in record)) return "";
  const { confirmed } = record;
  const isOld = !confirmed || confirmed.days > OLD_DAYS;
  return html`<p class=${isOld ? "flag-line" : "quiet"}>${confirmed ? t(confirmed.by ? "register.confirmed" : "register.confirmed_then", { on: confirmed.on, by: confirmed.by, n: confirmed.days }) : t("register.never_confirmed")}</p>`;
}

function Findings({ list }) {
  return list.filter((finding) => finding.state !== "agreed").map((finding) => html`<p class="flag-line" key=${`${finding.number} ${finding.field}`}>
    ${t(`register_state.${finding.state}`)}${finding.field ? ` · ${nameOf(finding.field)}` : ""}: ${finding.why || t(finding.in_force ? "register.ours_counts" : "register.file_counts")}</p>`);
}

/** Reason and who said it, at the end of every correction. */
function Because({ values, set }) {
  return html`<${Pick} name="said_by" options=${SOURCES.map((name) => [name, t(`register_source.${name}`)])} values=${values} set=${set} />
    <${ReasonField} values=${values} set=${set} />`;
}

/** The frame of editing: Ctrl+Enter submits, Esc closes; what is wrong stands above the buttons. */
export function Editor({ title, submit, close, children, values, set }) {
  const box = useRef();
  const [faults, setFaults] = useState([]);
  const [busy, setBusy] = useState(false);
  useLayoutEffect(() => { box.current?.querySelector("input, select, textarea")?.focus(); }, []);
  const onSubmit = async (event) => {
    event.preventDefault();
    if (busy) return;
    if (!values.reason?.trim()) {
      setFaults([t("register.say_why")]);
      return;
    }
    setBusy(true);
    const answer = await submit();
    setBusy(false);
    setFaults(answer.ok ? [] : faultsOf(answer));
  };
  const onKeyDown = (event) => {
    if (event.code !== "Escape" || event.isComposing) return;
    event.stopPropagation();
    close();
  };
  return html`<form class="work ask register-edit" ref=${box} onSubmit=${onSubmit} onKeyDown=${onKeyDown} novalidate autocomplete="off" aria-label=${title}>
    <h3>${title}</h3>${children}<${Because} values=${values} set=${set} />
    ${faults.length > 0 && html`<ul class="error" role="alert">${faults.map((fault) => html`<li key=${fault}>${fault}</li>`)}</ul>`}
    <div class="form-foot"><button type="submit" class="primary" disabled=${busy}>${t("form.submit")} <kbd>Ctrl+Enter</kbd></button>
      <button type="button" onClick=${close}>${t("watch.close")} <kbd>Esc</kbd></button></div></form>`;
}

function Cell({ field, values, set }) {
  const id = `cell-${field}`;
  const value = values[field] ?? "";
  const onInput = (event) => set(field, event.target.value);
  const options = CHOICES[field];
  const input = options
    ? html`<select id=${id} value=${value} onChange=${onInput}><option value="">–</option>${options.map((word) => html`<option key=${word} value=${word}>${field === "ability" ? label("risk", word) : field === "state" ? label("provider_state", word) : word}</option>`)}</select>`
    : LONG.has(field)
      ? html`<textarea id=${id} rows="2" maxlength="500" value=${value} onInput=${onInput}></textarea>`
      : html`<input id=${id} maxlength="500" value=${value} onInput=${onInput} />`;
  return html`<div class="field"><label for=${id}>${nameOf(field)}</label>${input}</div>`;
}

function Edit({ record }) {
  const editable = record.fields.filter((field) => field.editable && !field.name.startsWith("confirmed"));
  const before = Object.fromEntries(editable.map((field) => [field.name, field.value]));
  const [values, setValues] = useState({ ...before, said_by: "caller", reason: "" });
  const set = (name, value) => setValues((now) => ({ ...now, [name]: value }));
  const close = () => { form.value = null; };
  const submit = async () => {
    const cells = Object.fromEntries(editable.filter(({ name }) => values[name] !== before[name]).map(({ name }) => [name, values[name]]));
    const answer = await tell("correct", { kind: record.kind, key: record.key, cells, reason: values.reason.trim(), source: values.said_by, seen: record.newest }, `${record.key} ✓`);
    if (answer.ok) await changed();
    return answer;
  };
  return html`<${Editor} title=${t("register.correct")} submit=${submit} close=${close} values=${values} set=${set}>
    <div class="cells">${editable.map(({ name }) => html`<${Cell} key=${name} field=${name} values=${values} set=${set} />`)}</div><//>`;
}

function EditRows({ record }) {
  const [values, setValues] = useState({ said_by: "caller", reason: "" });
  const [rows, setRows] = useState(record.rows);
  const set = (name, value) => setValues((now) => ({ ...now, [name]: value }));
  const submit = async () => {
    const answer = await tell("correct", { kind: record.kind, key: record.key, rows, reason: values.reason.trim(), source: values.said_by, seen: record.newest }, `${record.key} ✓`);
    if (answer.ok) await changed();
    return answer;
  };
  return html`<${Editor} title=${t(`register.correct_${record.kind}`)} submit=${submit} close=${() => { form.value = null; }} values=${values} set=${set}>
    <${RowsEditor} kind=${record.kind} rows=${rows} setRows=${setRows} nameOf=${nameOf} /><//>`;
}

function New({ kind }) {
  const [values, setValues] = useState({ said_by: "other", reason: "" });
  const set = (name, value) => setValues((now) => ({ ...now, [name]: value }));
  const fields = NEEDED[kind] ?? [];
  const submit = async () => {
    const cells = Object.fromEntries(fields.filter((name) => values[name]?.trim()).map((name) => [name, values[name].trim()]));
    const answer = await tell("new", { kind, cells, reason: values.reason.trim(), source: values.said_by }, `${t(`register_kind.${kind}`)} ✓`);
    if (answer.ok) choose(kind, answer.body.key);
    return answer;
  };
  return html`<aside class="device-detail register-record"><${Editor} key=${kind} title=${t("register.new", { kind: t(`register_kind.${kind}`) })} submit=${submit} close=${() => { chosen.value = null; }} values=${values} set=${set}>
    ${kind === "persons" && html`<p class="quiet small">${t("register.new_person")}</p>`}
    <div class="cells">${fields.map((name) => html`<${Cell} key=${name} field=${name} values=${values} set=${set} />`)}</div><//></aside>`;
}

function Fields({ record }) {
  const [all, setAll] = useState(false);
  const shown = record.fields.filter((field) => all || field.value || field.source.from === "person");
  return html`<table class="register-fields" aria-label=${t("register.fields")}>
    <thead><tr><th scope="col">${t("register.field")}</th><th scope="col">${t("register.value")}</th><th scope="col">${t("register.said")}</th></tr></thead>
    <tbody>${shown.map((field) => html`<tr key=${field.name}><th scope="row">${nameOf(field.name)}</th>
      <td class=${field.value === "***" ? "quiet" : ""}>${field.text ? html`${field.text} <span class="quiet">${field.value}</span>` : valueText(field.name, field.value)}</td><td><${Source} source=${field.source} /></td></tr>`)}</tbody></table>
    ${shown.length < record.fields.length || all ? html`<button class="small" onClick=${() => setAll(!all)}>${t(all ? "register.only_filled" : "register.all_fields")}</button>` : ""}`;
}

function Contacts({ record, edit }) {
  return html`<section><h4>${t("register_kind.contacts")} <${Source} source=${record.source} /></h4>
    ${record.rows.length === 0 ? html`<p class="flag-line">${t("register.no_contacts")}</p>` : html`<ol class="contacts-order">${record.rows.map((row, index) => html`<li key=${index}><b>${row.name}</b> ${row.relation ?? ""} ${row.phone ?? ""}${row.tell ? html` <span class="quiet">${t("register.told", { moments: row.tell })}</span>` : ""}</li>`)}</ol>`}
    <${Findings} list=${record.findings} />
    ${record.editable && html`<button onClick=${edit}>${t("register.correct_contacts")}</button>`}</section>`;
}

function Rosters({ record, edit }) {
  return html`<section><h4>${t("register_kind.rosters")} <${Source} source=${record.source} /></h4>
    <${WeekOf} rows=${record.rows} /><${Findings} list=${record.findings} />
    ${record.editable && html`<button onClick=${edit}>${t("register.correct_rosters")}</button>`}</section>`;
}

function History({ list }) {
  if (list.length === 0) return "";
  return html`<details class="register-history"><summary>${t("register.history", { n: list.length })}</summary><ul>${list.map((entry) => html`<li key=${entry.number} class=${entry.state === "stands" ? "" : "over"}>
    <b>${entry.by}</b> <${Time} at=${entry.at} /> ${t(`register_what.${entry.what}`)} ${entry.fields.map(nameOf).join(" ")}<span class="quiet"> ${entry.reason}</span>
    ${Object.entries(entry.cells ?? {}).map(([name, value]) => html`<div class="small" key=${name}>${nameOf(name)}: ${entry.before[name] || "–"} → <b>${value || "–"}</b></div>`)}
    ${entry.state === "stands" || entry.state === "superseded"
      ? html` <button class="small" onClick=${() => { form.value = { take_back: entry }; }}>${t("register.take_back")}<span class="unseen"> ${entry.number}</span></button>`
      : html`<span class="quiet">${t(`register_state.${entry.state}`)} · ${entry.ended?.by}</span>`}</li>`)}</ul></details>`;
}

/** A form that needs a reason and nothing else. */
function Reason({ name, title, note, submit }) {
  const isDone = useRef(false); // then whoever submitted has said what comes next
  const close = () => {
    if (isDone.current) return;
    form.value = null;
    afterOpening.value = null;
  };
  const send = async (values) => {
    isDone.current = await submit(values.reason.trim());
    return isDone.current;
  };
  return html`<${AskForm} key=${name} name=${`register-${name}`} title=${title} fields=${ReasonField} note=${note} check=${(values) => (values.reason?.trim() ? null : "missing_why")} submit=${send} close=${close} />`;
}

async function remove(record, reason) {
  const answer = await tell("remove", { kind: record.kind, key: record.key, reason, seen: record.newest }, t("register.removed", { name: record.key }));
  if (answer.ok) chosen.value = null;
  return answer.ok;
}

async function takeBack(entry, reason) {
  const answer = await tell("take_back", { correction: entry.number, reason }, t("register.taken_back"));
  if (answer.ok) await changed();
  return answer.ok;
}

async function confirm(record) {
  const answer = await tell("confirm", { kind: "persons", key: record.key, source: "caller" }, t("register.confirmed_now", { name: record.key }));
  if (answer.ok) await changed();
}

function Forms({ record, data }) {
  const now = form.value;
  if (now === "open") return html`<${Reason} name="open" title=${t("register.open")} note=${t("register.open_note")} submit=${openFor} />`;
  if (now === "remove") return html`<${Reason} name="remove" title=${t("register.remove")} note=${t("register.remove_note")} submit=${(reason) => remove(record, reason)} />`;
  if (now?.take_back) return html`<${Reason} name="take-back" title=${t("register.take_back")} submit=${(reason) => takeBack(now.take_back, reason)} />`;
  if (now === "edit") return html`<${Edit} record=${record} />`;
  if (typeof now === "string") return html`<${EditRows} record=${data[now.slice("rows:".length)]} />`;
  return "";
}

/** Editing wants the true values: a masked record is opened for a reason first. */
function begin(what, record) {
  if (record.opened) {
    form.value = what;
    return;
  }
  afterOpening.value = what;
  form.value = "open";
}

export function Record() {
  const now = chosen.value;
  if (!now) return html`<aside class="device-detail register-record"><p class="quiet">${t("register.choose")}</p></aside>`;
  if (now.isNew) return html`<${New} key=${now.kind} kind=${now.kind} />`;
  const { data: masked, error } = one.state.value;
  const isMine = (data) => data?.record.key === now.key && data.record.kind === now.kind;
  const data = isMine(full.value) ? full.value : isMine(masked) ? masked : null;
  if (!data) return html`<aside class="device-detail register-record"><p class=${error ? "error" : "quiet"}>${error || t("form.loading")}</p></aside>`;
  const { record } = data;
  const mayEdit = record.fields.some((field) => field.editable);
  const isPerson = record.kind === "persons";
  return html`<aside class="device-detail register-record" aria-label=${record.title}>
    <h3>${record.title}${record.age ? ` · ${t("register.years", { n: record.age })}` : ""} <span class="quiet">${t(`register_kind.${record.kind}`)}</span></h3>
    <${Confirmed} record=${record} /><${Findings} list=${record.findings} />
    <div class="filters" role="group" aria-label=${t("register.do")}>
      ${!record.opened && data.may_open && html`<button onClick=${() => { form.value = "open"; }}>${t("register.open")}</button>`}
      ${mayEdit && data.may_open && html`<button onClick=${() => begin("edit", record)}>${t("register.correct")}</button>`}
      ${isPerson && html`<button onClick=${() => confirm(record)}>${t("register.confirm")}</button>`}
      ${record.may_remove && html`<button onClick=${() => { form.value = "remove"; }}>${t("register.remove")}</button>`}
    </div>
    ${form.value && html`<${Forms} record=${record} data=${data} />`}
    ${data.contacts && html`<${Contacts} record=${data.may_open ? data.contacts : { ...data.contacts, editable: false }} edit=${() => begin("rows:contacts", record)} />`}
    ${data.rosters && html`<${Rosters} record=${data.may_open ? data.rosters : { ...data.rosters, editable: false }} edit=${() => begin("rows:rosters", record)} />`}
    <${Fields} key=${record.key} record=${record} />
    ${data.devices && html`<section><h4>${t("register_kind.devices")}</h4>${data.devices.length === 0 ? html`<p class="quiet">${t("register.no_devices")}</p>` : html`<ul class="plain">${data.devices.map((row) => html`<li key=${row.key}><button class="row" onClick=${() => choose("devices", row.key)}>${row.title}</button> <span class="quiet">${row.line} ${row.place}</span></li>`)}</ul>`}</section>`}
    ${data.providers && html`<section><h4>${t("register_kind.providers")}</h4><button class="row" onClick=${() => choose("providers", record.key)}>${t("register.agreement")}</button></section>`}
    ${data.loans?.length > 0 && html`<section><h4>${t("register_kind.loans")}</h4><ul class="plain">${data.loans.map((row) => html`<li key=${row.key}><button class="row" onClick=${() => choose("loans", row.key)}>${row.between.join(" → ")}</button> <span class="quiet">${row.since} – ${row.until}</span></li>`)}</ul></section>`}
    <${History} list=${data.history} />
    ${role.value === "operator" && html`<p class="quiet small">${t("register.operators_note")}</p>`}
  </aside>`;
}
