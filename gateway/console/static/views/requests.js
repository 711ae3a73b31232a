// Ordinary services: a queue of their own, never among the alarms. The list, filing one for a person, and the one that is open.
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { ask, notice } from "../commands.js";
import { label, t } from "../i18n.js";
import { question } from "../reading.js";
import { requestCounts } from "../store.js";
import { Countdown, Time, html, risks, serviceText } from "../ui.js";
import { openRequest, opened } from "../work.js";
import { AskForm, Pick, Text, When, asInstant } from "./fields.js";
import { Incident } from "./incident.js";
import { Ops } from "./ops.js";

const STATES = ["", "raised", "acknowledged", "resolved", "unmatched", "closed"];
const WISH_LIMIT = 500; // as the core has it

const list = question();
const services = question();
const wanted = signal({ state: "", service: "" });
const isFiling = signal(false);

function load(after = null) {
  const query = new URLSearchParams(Object.entries({ ...wanted.value, after }).filter(([, value]) => value));
  return list.ask(`/api/v1/requests?${query}`, (data, before) => (after ? { ...data, requests: [...(before?.requests ?? []), ...data.requests] } : data));
}

function choose(filter) {
  wanted.value = { ...wanted.value, ...filter };
  load();
}

const serviceOptions = () => (services.state.value.data?.services ?? []).map((one) => [one.code, serviceText(one.code, one.name)]);

const nameOf = (code) => services.state.value.data?.services.find((one) => one.code === code)?.name;

function countOf(counts, name) {
  if (!counts || name === "closed") return "";
  if (name === "unmatched") return counts.unmatched.reduce((sum, one) => sum + one.count, 0);
  return name ? counts[name] : counts.raised + counts.acknowledged + counts.resolved;
}

/** Search for a person, then choose one: nothing is filed for whom nobody has pointed at. */
function PersonField({ values, set }) {
  const [text, setText] = useState("");
  const [found, setFound] = useState(null);
  const find = async () => {
    const answer = await ask(t("requests.find"), "/api/v1/persons", { wanted: text.trim() });
    if (!answer.ok) return;
    setFound(answer.body);
    set("person", answer.body.persons.length === 1 ? answer.body.persons[0].id : "");
  };
  const onKeyDown = (event) => {
    if (event.code !== "Enter" || event.ctrlKey || event.isComposing) return;
    event.preventDefault();
    find();
  };
  return html`<div class="find"><label class="field"><span>${t("requests.find")}<b class="required">*</b></span>
      <input type="search" name="find" maxlength="40" value=${text} onInput=${(event) => setText(event.target.value)} onKeyDown=${onKeyDown} /></label>
      <button type="button" onClick=${find} disabled=${text.trim().length < 2}>${t("requests.search")}</button></div>
    ${found && html`<fieldset class="field found" aria-live="polite"><legend>${t("requests.found", { n: found.persons.length })}</legend>
      ${found.persons.map((one) => html`<label key=${one.id}><input type="radio" name="person" value=${one.id} checked=${values.person === one.id} onChange=${() => set("person", one.id)} />
        <b>${one.name}</b> ${one.age ? t("person.age", { n: one.age }) : ""} <span class="quiet">${one.place ?? ""} ${risks(one.risks)}</span></label>`)}
      ${found.more && html`<p class="quiet small">${t("requests.found_more")}</p>`}</fieldset>`}`;
}

function Filing() {
  const submit = async (values) => {
    const answer = await ask(t("requests.file"), "/api/v1/requests", { person: values.person, service: values.service, wanted_at: asInstant(values.wanted_at), wish: values.wish?.trim() });
    if (!answer.ok) return false;
    notice(() => t("requests.filed", { id: answer.body.request?.id ?? "" }));
    load();
    if (answer.body.request) openRequest(answer.body.request.id);
    return true;
  };
  const check = (values) => (!values.person ? "missing_person" : !values.service ? "missing_service" : null);
  return html`<${AskForm} name="filing" title=${t("requests.file")} note=${t("requests.explain")} check=${check} submit=${submit} close=${() => { isFiling.value = false; }}
    fields=${FilingFields} />`;
}

function FilingFields(props) {
  return html`<${PersonField} ...${props} />
    <div class="side-by-side"><${Pick} name="service" required=${true} options=${serviceOptions()} ...${props} /><${When} name="wanted_at" ...${props} /></div>
    <${Text} name="wish" rows=${2} limit=${WISH_LIMIT} ...${props} />`;
}

function Row({ row }) {
  const { person, provider, due } = row;
  const isUnmatched = row.flags.includes("unmatched");
  return html`<tr class=${`${row.state} ${row.id === opened.value ? "on" : ""}`}>
    <td><button class="row" onClick=${() => openRequest(row.id)}>${row.id}</button></td>
    <td><${Time} at=${row.wanted_at} /></td>
    <td>${serviceText(row.service, row.service_name)}</td>
    <td><b>${person?.name ?? "–"}</b> <span class="quiet">${person?.age ?? ""} ${row.place ?? ""}</span></td>
    <td><span class=${`request-state ${isUnmatched ? "unmatched" : row.state}`}>${label("request_state", isUnmatched ? "unmatched" : row.state)}</span>
      ${row.flags.filter((flag) => flag !== "unmatched").map((flag) => html` <span class="flag" key=${flag}>${label("flag", flag)}</span>`)}</td>
    <td>${provider && provider.state !== "withdrawn" ? html`${provider.name} <span class=${`leg ${provider.state}`}>${label("leg", provider.state)}</span>` : "–"}</td>
    <td>${due ? html`${label("deadline", due.name)} <${Countdown} at=${Date.parse(due.at)} />` : row.satisfaction ? "★".repeat(row.satisfaction) : "–"}</td>
  </tr>`;
}

const COLUMNS = ["id", "wanted_at", "service", "person", "state", "provider", "due"];

export function Requests() {
  const told = requestCounts.value?.told;
  useEffect(() => { if (!services.state.value.data) services.ask("/api/v1/services"); }, []);
  useEffect(() => { load(); }, [told]);
  const state = list.state.value;
  const { data, busy } = state;
  const filter = wanted.value;
  return html`<${Ops} name="requests" state=${state} again=${() => load()}>
    <section class="request-list">
      <div class="filters" role="group" aria-label=${t("requests.filters")}>${STATES.map((name) => html`
          <button key=${name} aria-pressed=${filter.state === name ? "true" : "false"} onClick=${() => choose({ state: name })}>${name ? label("request_state", name) : t("requests.open")} <span>${countOf(data?.counts, name)}</span></button>`)}
        <label>${t("field.service")} <select name="service_filter" value=${filter.service} onChange=${(event) => choose({ service: event.target.value })}><option value="">${t("tab.all")}</option>
          ${serviceOptions().map(([code, text]) => html`<option key=${code} value=${code}>${text}</option>`)}</select></label>
        <span class="spring"></span>
        <button class="primary" onClick=${() => { isFiling.value = !isFiling.value; }}>${t("requests.file")}</button>
      </div>
      ${isFiling.value && html`<${Filing} />`}
      ${data?.requests.length === 0 && html`<p class="nothing-here">${t("requests.none")}</p>`}
      ${data?.requests.length > 0 && html`<table aria-label=${t("view.requests")}>
        <thead><tr>${COLUMNS.map((name) => html`<th scope="col" key=${name}>${t(`requests.${name}`)}</th>`)}</tr></thead>
        <tbody>${data.requests.map((row) => html`<${Row} key=${row.id} row=${row} />`)}</tbody>
      </table>`}
      ${data?.after && html`<button class="more" disabled=${busy} onClick=${() => load(data.after)}>${t("devices.more")}</button>`}
      ${data?.counts.unmatched.length > 0 && html`<h3>${t("requests.unmet")}</h3><ul class="unmet">${data.counts.unmatched.map((one) => html`<li key=${`${one.service} ${one.place}`}>${serviceText(one.service, nameOf(one.service))} · ${one.place || "–"} <b>${one.count}</b></li>`)}</ul>`}
    </section>
    <${Incident} />
  <//>`;
}
