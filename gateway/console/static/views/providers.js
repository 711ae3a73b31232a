// Providers: who may work, by which agreement, how good they are; and what people rule about them. Every ruling has a reason.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { notice, rule } from "../commands.js";
import { label, t } from "../i18n.js";
import { question } from "../reading.js";
import { Time, html, kindText, serviceText } from "../ui.js";
import { AskForm, ReasonField, When, asInstant } from "./fields.js";
import { Ops } from "./ops.js";

const STATES = ["", "proposal", "admitted", "probation", "suspended", "applied", "exited"];
const ENDS_SOON_DAYS = 30; // an agreement that ends within a month is to be renewed now

const list = question();
const one = question();
const wanted = signal("");
const chosen = signal(null);
const asking = signal(null); // {what, body, title}: the ruling whose form is open

const load = (after = null) => {
  const query = new URLSearchParams(Object.entries({ state: wanted.value, after }).filter(([, value]) => value));
  return list.ask(`/api/v1/providers?${query}`, (data, before) => (after ? { ...data, providers: [...(before?.providers ?? []), ...data.providers] } : data));
};
const pathOf = (id) => `providers/${encodeURIComponent(id)}`;
const read = (id) => one.ask(`/api/v1/${pathOf(id)}`);

function again() {
  load();
  if (chosen.value) read(chosen.value);
}

function choose(id) {
  chosen.value = id;
  asking.value = null;
  read(id);
}

const servicesText = (row) => row.services.map((service) => serviceText(service.code, service.name)).join(" · ");
const gradeText = (grade) => (grade ? t("providers.stars", { stars: grade.stars, scale: grade.scale }) : "–");
const scoreText = (row) => (row.score === null ? "–" : `${row.score.toFixed(2)} (${row.sample ?? 0})`);

function Ends({ row }) {
  if (!row.until) return html`<span class="quiet">${t("providers.no_end")}</span>`;
  const isSoon = row.days_left <= ENDS_SOON_DAYS;
  return html`<span class=${isSoon ? "soon" : ""}>${row.until} ${row.days_left < 0 ? t("providers.over") : isSoon ? t("providers.days_left", { n: row.days_left }) : ""}</span>`;
}

function State({ row }) {
  return html`<span class=${`provider-state ${row.state} ${row.why_not && row.why_not !== row.state ? "barred" : ""}`}>${label("provider_state", row.state)}</span>
    ${row.why_not && row.why_not !== row.state && html` <span class="flag">${label("verdict", row.why_not)}</span>`}
    ${row.proposal && html` <span class="flag">${t("providers.proposed")}</span>`}`;
}

function Row({ row }) {
  return html`<tr class=${row.id === chosen.value ? "on" : ""}>
    <td><button class="row" onClick=${() => choose(row.id)}>${row.name}</button> <span class="quiet">${kindText(row)}</span></td>
    <td><${State} row=${row} /></td>
    <td>${servicesText(row)}${row.urgent ? html` <b>${t("providers.urgent")}</b>` : ""}</td>
    <td>${gradeText(row.grade)}</td>
    <td>${scoreText(row)}</td>
    <td>${row.load.alarms + row.load.services}/${row.capacity}</td>
    <td><${Ends} row=${row} /></td>
  </tr>`;
}

/** What may be ruled now: [{what, body, title}…]. */
function rulingsOf(row) {
  const moves = row.moves.map((state) => ({ what: "state", body: { state }, title: label("provider_move", state) }));
  return [
    ...(row.proposal ? ["confirm", "reject"].map((decision) => ({ what: "proposal", body: { decision }, title: t(`providers.${decision}`) })) : []),
    ...moves,
    row.frozen?.value ? { what: "unfreeze", body: {}, title: t("providers.unfreeze") } : { what: "freeze", body: {}, title: t("providers.freeze") },
  ];
}

function Ruling({ row, ruling }) {
  const submit = async (values) => {
    const body = { ...ruling.body, reason: values.reason.trim(), ...(ruling.what === "freeze" && values.until ? { until: asInstant(values.until) } : {}) };
    const answer = await rule(row.name, `${pathOf(row.id)}/${ruling.what}`, body);
    if (!answer.ok) return false;
    notice(() => `${row.name}: ${ruling.title} ✓`);
    again();
    return true;
  };
  const fields = ruling.what === "freeze" ? FreezeFields : ReasonField;
  return html`<${AskForm} key=${`${row.id} ${ruling.title}`} name="ruling" title=${`${ruling.title} · ${row.name}`} fields=${fields} submit=${submit}
    note=${row.leaves_bare && ["confirm", "suspended", "exited"].includes(ruling.body.decision ?? ruling.body.state) ? bareText(row.leaves_bare) : ""}
    check=${(values) => (values.reason?.trim() ? null : "missing_reason")} close=${() => { asking.value = null; }} />`;
}

const FreezeFields = (props) => html`<${ReasonField} ...${props} /><${When} name="until" ...${props} />`;
const bareText = ({ area_name: area, what }) => t("providers.leaves_bare", { area, what: label("service", what) });

function Ruled({ name, ruled }) {
  if (!ruled?.value) return null;
  return html`<dt>${t(`providers.${name}`)}</dt><dd>${(ruled.by === "gateway" ? label("ruling_reason", ruled.reason) : ruled.reason) || ruled.value} <span class="quiet">${ruled.by === "gateway" ? t("ruling.machine") : ruled.by} ${ruled.at && html`<${Time} at=${ruled.at} />`}${ruled.until ? html` · ${t("ruling.until")} <${Time} at=${ruled.until} />` : ""}</span></dd>`;
}

function Detail() {
  const { data, error } = one.state.value;
  if (!chosen.value) return html`<aside class="device-detail"><p class="quiet">${t("providers.choose")}</p></aside>`;
  const row = data?.provider;
  if (row?.id !== chosen.value) return html`<aside class="device-detail"><p class=${error ? "error" : "quiet"}>${error || t("form.loading")}</p></aside>`;
  return html`<aside class="device-detail provider-detail" aria-label=${row.name}>
    <h3>${row.name}</h3><p><${State} row=${row} /></p>
    <dl>
      <dt>${t("providers.kind")}</dt><dd>${kindText(row)}</dd>
      <dt>${t("providers.services")}</dt><dd>${servicesText(row) || "–"}</dd>
      <dt>${t("providers.since")}</dt><dd>${row.since ?? "–"}</dd>
      <dt>${t("providers.until")}</dt><dd><${Ends} row=${row} /></dd>
      <dt>${t("providers.grade")}</dt><dd>${gradeText(row.grade)} <span class="quiet">${row.grade?.assessor ?? ""} ${row.grade?.on ?? ""}</span></dd>
      <dt>${t("providers.score")}</dt><dd>${scoreText(row)} ${row.scored_at && html`<span class="quiet"><${Time} at=${row.scored_at} /></span>`}</dd>
      <dt>${t("providers.load")}</dt><dd>${t("providers.loads", { alarms: row.load.alarms, services: row.load.services, capacity: row.capacity })}</dd>
      <${Ruled} name="ruled" ruled=${row.ruled} /><${Ruled} name="proposal" ruled=${row.proposal} /><${Ruled} name="frozen" ruled=${row.frozen} /><${Ruled} name="blocked" ruled=${row.blocked} />
      ${row.leaves_bare && html`<dt>${t("providers.without")}</dt><dd>${bareText(row.leaves_bare)}</dd>`}
    </dl>
    <div class="filters" role="group" aria-label=${t("providers.rule")}>${rulingsOf(row).map((ruling) => html`
      <button key=${ruling.title} aria-pressed=${asking.value?.title === ruling.title ? "true" : "false"} onClick=${() => { asking.value = ruling; }}>${ruling.title}</button>`)}</div>
    ${asking.value && html`<${Ruling} row=${row} ruling=${asking.value} />`}
  </aside>`;
}

const COLUMNS = ["name", "state", "services", "grade", "score", "load", "until"];

export function Providers() {
  useEffect(() => { again(); }, []);
  const state = list.state.value;
  const { data, busy } = state;
  const total = data ? Object.values(data.counts).reduce((sum, n) => sum + n, 0) : "";
  return html`<${Ops} name="providers" state=${state} again=${again}>
    <div class="filters" role="group" aria-label=${t("providers.filters")}>${STATES.map((name) => html`
      <button key=${name} aria-pressed=${wanted.value === name ? "true" : "false"} onClick=${() => { wanted.value = name; load(); }}>${name === "proposal" ? t("providers.proposed") : name ? label("provider_state", name) : t("tab.all")} <span>${name === "proposal" ? "" : name ? data?.counts[name] : total}</span></button>`)}</div>
    <div class="ops-main"><section class="device-rows">
      ${data?.providers.length === 0 && html`<p class="nothing-here">${t("providers.none")}</p>`}
      ${data?.providers.length > 0 && html`<table aria-label=${t("view.providers")}>
        <thead><tr>${COLUMNS.map((name) => html`<th scope="col" key=${name}>${t(`providers.${name}`)}</th>`)}</tr></thead>
        <tbody>${data.providers.map((row) => html`<${Row} key=${row.id} row=${row} />`)}</tbody>
      </table>`}
      ${data?.after && html`<button class="more" disabled=${busy} onClick=${() => load(data.after)}>${t("devices.more")}</button>`}
    </section><${Detail} /></div>
  <//>`;
}
