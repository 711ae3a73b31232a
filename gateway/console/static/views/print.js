// An incident as a document: seen on the screen first, then printed or saved as PDF by the browser. Masked; in full by right, for a reason.
import { effect, signal } from "@preact/signals";
import { render } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { label, language, t } from "../i18n.js";
import { postJson } from "../past.js";
import { me, session } from "../store.js";
import { html, kindText, risks, serviceText, travel, who } from "../ui.js";
import { describe, namesOf } from "./timeline.js";

/** {id, data, error, asking, reason}: the document on the screen; null: none. */
const printing = signal(null);

// sv-SE writes ISO order; on paper a time always has its day.
const writer = new Intl.DateTimeFormat("sv-SE", { timeZone: "Asia/Shanghai", dateStyle: "short", timeStyle: "medium" });
const at = (when) => (when ? writer.format(Date.parse(when)) : "–");
const minutesLate = (due, done) => Math.round((Date.parse(done) - Date.parse(due)) / 60_000);

/** Show the document of an incident. */
export async function printIncident(id, body = {}) {
  mount();
  if (printing.value?.id !== id) printing.value = { id, data: null, error: "", asking: false, reason: "" };
  try {
    const data = await postJson(`/api/v1/incidents/${encodeURIComponent(id)}/print`, body);
    if (printing.value?.id === id) printing.value = { id, data, error: "", asking: false, reason: "" };
  } catch (error) {
    if (printing.value?.id === id) printing.value = { ...printing.value, error: error.message };
  }
}

const close = () => { printing.value = null; };

function Pair({ name, children }) {
  return html`<div><dt>${t(`print.${name}`)}</dt><dd>${children || "–"}</dd></div>`;
}

function Times({ row }) {
  const steps = [["opened", row.opened_at], ["taken", row.acknowledged_at], ["resolved", row.resolved_at], ["closed", row.closed_at]];
  return html`<section><h2>${t("print.times")}</h2><dl class="pairs">${steps.map(([name, when]) => html`<${Pair} key=${name} name=${name}>${at(when)}<//>`)}</dl></section>`;
}

function Person({ data }) {
  const { person, incident: row, numbers } = data;
  const phones = numbers ? numbers.phones : person?.phones;
  const contacts = numbers?.contacts?.length ? numbers.contacts : person?.contacts ?? [];
  return html`<section><h2>${t("print.person")}</h2><dl class="pairs">
    <${Pair} name="name">${person?.name ?? who(row)} ${(person?.age ?? row.age) ? t("person.age", { n: person?.age ?? row.age }) : ""}<//>
    <${Pair} name="address">${person?.address ?? row.place}<//>
    <${Pair} name="risks">${risks(row.risks)}<//>
    <${Pair} name="phones">${(phones ?? []).join("  ")}<//>
    ${(numbers?.caller ?? row.caller) && html`<${Pair} name="caller">${row.caller === "restricted" ? t("call.restricted") : numbers?.caller ?? row.caller}<//>`}
    ${row.hotline && html`<${Pair} name="hotline">${row.hotline}<//>`}
    ${row.device && html`<${Pair} name="device">${row.line ? `${row.line} / ` : ""}${row.device}<//>`}
    ${contacts.length > 0 && html`<${Pair} name="contacts">${contacts.map((one) => `${one.relation} ${one.name} ${one.phone}`).join(language.value === "en" ? "; " : "\u3000")}<//>`}
    ${person?.health_note && html`<${Pair} name="health">${person.health_note}<//>`}
  </dl></section>`;
}

/** Each order against its deadline. */
function Legs({ data }) {
  const due = new Map(data.against.map((one) => [one.delivery, one]));
  if (data.legs.length === 0) return html`<section><h2>${t("print.legs")}</h2><p>${t("legs.none")}</p></section>`;
  return html`<section><h2>${t("print.legs")}</h2><table><thead><tr>${["responder", "state", "ordered", "reply_by", "answered", "arrived"].map((name) => html`<th key=${name}>${t(`print.leg_${name}`)}</th>`)}</tr></thead>
    <tbody>${data.legs.map((leg) => {
      const against = due.get(leg.delivery);
      return html`<tr key=${leg.delivery}><td>${leg.name} ${leg.kind ? `(${kindText(leg)})` : ""} ${leg.travel_min === null ? "" : travel(leg.travel_min)}</td>
        <td>${label("leg", leg.state)} ${leg.reason ? label("leg_reason", leg.reason) : ""}</td><td>${at(leg.ordered_at)}</td><td>${at(leg.reply_by)}</td>
        <td>${at(leg.answered_at)} ${leg.by} ${against?.late ? html`<b>${t("print.late", { n: minutesLate(leg.reply_by, leg.answered_at) })}</b>` : leg.answered_at ? "✓" : ""}</td><td>${at(leg.arrived_at)}</td></tr>`;
    })}</tbody></table></section>`;
}

function Decision({ data }) {
  const one = data.decision;
  if (!one) return null;
  return html`<section><h2>${t("print.decision")}</h2><p>${at(one.at)} · ${label("rule", one.rule)}</p>
    <table><thead><tr><th>${t("print.leg_responder")}</th><th>${t("print.travel")}</th><th>${t("print.why")}</th></tr></thead>
    <tbody>${one.candidates.map((row) => html`<tr key=${row.responder}><td>${row.name}</td><td>${travel(row.travel_min)}</td><td>${label("verdict", row.verdict)}</td></tr>`)}</tbody></table></section>`;
}

function Plan({ data }) {
  if (data.plan.length === 0) return null;
  return html`<section><h2>${t("plan.title")}</h2><ul class="steps">${data.plan.map((step) => html`<li key=${step.id}>${step.done ? "☑" : "☐"} ${step.text?.[language.value] ?? step.text_ ?? label("step", step.id)}${step.required ? " *" : ""}</li>`)}</ul></section>`;
}

/** How it ended: outcome, call-back, complaint, why there was no call-back. */
function End({ data }) {
  const row = data.incident;
  const passed = (name) => row.loop.passed.filter((one) => one.name === name);
  return html`<section><h2>${t("print.end")}</h2><dl class="pairs">
    <${Pair} name="outcome">${row.outcome ? label("outcome", row.outcome) : label("state", row.state)}<//>
    <${Pair} name="call_back">${passed("call_back").map((one) => `${at(one.at)} ${one.actor}`).join(" · ")} ${row.satisfaction ? "★".repeat(row.satisfaction) : ""}<//>
    ${row.waived && html`<${Pair} name="waived">${row.waived}<//>`}
    <${Pair} name="complaint">${passed("complain").length === 0 ? t("print.no_complaint") : [...passed("complain"), ...passed("handle")].map((one) => `${label("stage", one.name)} ${at(one.at)} ${one.actor}`).join(" · ")}<//>
  </dl></section>`;
}

function Timeline({ data }) {
  const names = namesOf(data);
  const entries = data.timeline.filter((entry) => entry.kind !== "dispatch" || entry.detail?.delivery);
  return html`<section class="sentences"><h2>${t("timeline.title")}</h2><table><thead><tr><th>${t("print.at")}</th><th>${t("print.what")}</th><th>${t("print.actor")}</th></tr></thead>
    <tbody>${entries.map((entry) => {
      const [what, facts] = describe(entry, names, data);
      return html`<tr key=${entry.seq}><td>${at(entry.at)}</td><td><b>${what}</b>${facts.length ? ` — ${facts.join(" · ")}` : ""}</td><td>${entry.actor ?? ""}</td></tr>`;
    })}</tbody></table></section>`;
}

/** On every page, at the bottom: the browser's own margin boxes, filled by a rule of ours. */
const margin = new CSSStyleSheet();

function writeMargin(text) {
  if (!document.adoptedStyleSheets.includes(margin)) document.adoptedStyleSheets = [...document.adoptedStyleSheets, margin];
  const plain = text.replace(/[\\"]/g, "").replace(/[\n\r\f]/g, " ");
  margin.replaceSync(text ? `@page { @bottom-left { content: "${plain}"; font: 10px sans-serif; color: #444; } }` : "");
}

function Paper({ data }) {
  const { incident: row, printed } = data;
  const district = language.value === "zh-CN" ? printed.district : session.value?.district?.name_en ?? printed.district;
  const foot = t("print.printed", { name: printed.by, at: at(printed.at), how: t(printed.masked ? "print.is_masked" : "print.is_full") });
  useLayoutEffect(() => { // before anybody can print it
    writeMargin(`${row.id} · ${foot}`);
    return () => writeMargin("");
  }, [foot]);
  return html`<article class="paper" lang=${language.value}>
    <header><p>${t("bar.title")} · ${district}${printed.area ? ` · ${printed.area}` : ""}</p>
      <h1>${t("print.title", { id: row.id })}</h1>
      <p><b>${label("severity", row.severity)} · ${label("kind", row.kind)}${row.service ? ` · ${serviceText(row.service)}` : ""}${row.cries > 1 ? ` ×${row.cries}` : ""}</b> · ${label("state", row.state)}${row.owner ? ` · ${t("incident.owner", { name: row.owner })}` : ""}</p>
      ${!printed.masked && html`<p class="full-data"><b>${t("print.full_warning")}</b> ${t("print.because", { why: printed.reason })}</p>`}</header>
    <${Times} row=${row} /><${Person} data=${data} /><${Legs} data=${data} /><${Decision} data=${data} /><${Plan} data=${data} /><${End} data=${data} /><${Timeline} data=${data} />
    <footer><span>${foot}</span><span>${row.id}</span></footer>
  </article>`;
}

function Toolbar() {
  const now = printing.value;
  const { data } = now;
  const change = (more) => { printing.value = { ...now, ...more }; };
  const full = (event) => {
    event.preventDefault();
    if (now.reason.trim().length < 2) change({ error: t("history.say_why") });
    else printIncident(now.id, { full: true, reason: now.reason.trim() });
  };
  return html`<div class="print-tools">
    <button class="primary" disabled=${!data} onClick=${() => window.print()}>${t("print.print")}</button>
    ${data?.printed.masked && data.may && !now.asking && html`<button onClick=${() => change({ asking: true })}>${t("print.full")}</button>`}
    ${data && !data.printed.masked && html`<button onClick=${() => printIncident(now.id)}>${t("print.masked")}</button>`}
    ${now.asking && html`<form onSubmit=${full} autocomplete="off"><label>${t("print.reason")} <input name="print_reason" maxlength="500" value=${now.reason} onInput=${(event) => change({ reason: event.target.value, error: "" })} /></label> <button type="submit">${t("print.show_full")}</button></form>`}
    <span role="status" class=${now.error ? "error" : "quiet"}>${now.error || (data ? "" : t("form.loading"))}</span>
    <span class="spring"></span><button onClick=${close}>${t("print.close")} <kbd>Esc</kbd></button></div>`;
}

function Document() {
  const box = useRef();
  const now = printing.value;
  const id = now?.id;
  useLayoutEffect(() => {
    if (!id) return undefined;
    const before = document.activeElement;
    box.current?.focus();
    return () => before?.focus?.();
  }, [id]);
  if (!now) return null;
  return html`<div class="printing" role="dialog" aria-modal="true" aria-label=${t("print.title", { id })} tabindex="-1" ref=${box}>
    <${Toolbar} />${now.data && html`<${Paper} data=${now.data} />`}</div>`;
}

let isMounted = false;

/** Nothing is done to an incident behind the paper; whoever takes the next call has put it away. */
function guardKeys(event) {
  if (!printing.value) return;
  if (event.code === "F2") close();
  else {
    event.stopPropagation();
    if (event.code === "Escape" && !event.isComposing) close();
  }
}

/** A root of its own beside the page: on paper the page is left out. */
function mount() {
  if (isMounted) return;
  isMounted = true;
  const root = document.createElement("div");
  root.id = "printout";
  document.body.append(root);
  render(html`<${Document} />`, root);
  window.addEventListener("keydown", guardKeys, true);
  effect(() => {
    if (session.value?.screen_locked || session.value?.log_in || me.value === null) close(); // who comes next has no paper of others
  });
}
