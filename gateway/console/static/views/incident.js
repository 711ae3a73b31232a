// The incident: who, where, what is to be done, orders and how far they have come, and everything that has happened.
import { acknowledge, send, shown } from "../commands.js";
import { faultText } from "../fault.js";
import { label, t } from "../i18n.js";
import { incidentsChanged, me, state } from "../store.js";
import { Countdown, Mark, Time, callerText, html, risks, travel, who } from "../ui.js";
import { detail, form, hasDraft, openForm, opened, revealed } from "../work.js";
import { clockTime } from "../clock.js";
import { Dials } from "./dial.js";
import { Form } from "./forms.js";
import { stateText } from "./queue.js";
import { Timeline } from "./timeline.js";

const OPEN_LEGS = new Set(["queued", "sent", "accepted", "en_route", "arrived"]);

/** What the keys and buttons offer: [action, key, may it be done now?]. */
export function actionsOf(row) {
  const isOpen = row.state !== "closed";
  return [
    ["acknowledge", "A", row.state === "raised"],
    ["dispatch", "D", isOpen && row.state !== "resolved"],
    ["escalate", "E", isOpen && row.state !== "resolved"],
    ["note", "N", true],
    ["hand_over", "T", row.state === "acknowledged" && row.owner === me.value],
    ["resolve", "C", row.state === "acknowledged"],
    ["call_back", "V", row.state === "resolved" || (isOpen && (row.flags ?? []).includes("call_due"))],
    ["reveal", "R", isOpen && row.owner !== null && row.owner === me.value],
    ["complain", "P", row.state === "resolved" || row.state === "closed"],
  ];
}

function Head({ row }) {
  return html`
    <header class=${`incident-head ${row.severity} ${row.state}`}>
      <div class="first">
        <h2 class="id">${row.id}</h2> <${Mark} severity=${row.severity} withText=${true} />
        <b>${label("kind", row.kind)}</b>${row.line && html` <b>${who(row)}</b>`}${row.cries > 1 && html` <b class="cries">×${row.cries}</b>`}
        <span class="spring"></span>
        ${row.due && html`<span class="deadline">${label("deadline", row.due.name)} <${Countdown} at=${row.dueMs} /> <span class="quiet">(${clockTime(row.dueMs)})</span></span>`}
      </div>
      <div class="second">
        <span class=${`state ${row.state}`}>${stateText(row)}</span>
        ${row.owner && html`<span>${t("incident.owner", { name: row.owner })}</span>`}
        ${(row.flags ?? []).map((flag) => html`<span class="flag" key=${flag}>${label("flag", flag)}</span>`)}
        <span class="quiet">${t("incident.opened")} <${Time} at=${row.opened_at} /></span>
      </div>
    </header>`;
}

function Actions({ row }) {
  return html`<div class="actions" role="group" aria-label=${t("incident.actions")}>
    ${actionsOf(row).filter(([action]) => action !== "reveal").map(([action, key, can]) => html`
      <button key=${action} disabled=${!can} class=${`${action} ${form.value?.name === action ? "on" : ""}`}
        onClick=${() => (action === "acknowledge" ? acknowledge(row.id) : openForm(row.id, action))}>
        <kbd>${key}</kbd>${label("action", action)}${hasDraft(row.id, action) ? " ✎" : ""}
      </button>`)}
  </div>`;
}

/** As it is dialled here: the country left out, the trunk 0 before an area code. */
const dialled = (number) => number.replace(/^\+86(1\d{10})$/, "$1").replace(/^\+86/, "0");

/** The last thing said about why a device or line is in trouble. */
function faultOf(row, data) {
  const said = (data?.timeline ?? []).filter((entry) => entry.kind === row.kind && entry.detail?.detail?.reason);
  return row.line ? said.at(-1)?.detail.detail.reason ?? "" : "";
}

function Person({ row, data }) {
  const person = data?.person;
  const fault = faultOf(row, data);
  const full = revealed.value?.id === row.id ? revealed.value.numbers : null;
  const caller = full?.caller ? dialled(full.caller) : row.caller && callerText(row.caller);
  const contacts = full?.contacts ?? person?.contacts;
  const mayReveal = actionsOf(row).some(([action, , can]) => action === "reveal" && can);
  const place = person?.address || row.place;
  return html`
    <section class="person">
      <h3><b class="name">${person?.name ?? who(row)}</b> ${(person?.age ?? row.age) ? html`<span>${t("person.age", { n: person?.age ?? row.age })}</span>` : ""}
        ${(row.risks ?? []).map((risk) => html`<span class="risk" key=${risk}>${label("risk", risk)}</span>`)}
        ${(person?.categories ?? []).filter((one) => one !== "general").map((one) => html`<span class="risk plain" key=${one}>${label("category", one)}</span>`)}
      </h3>
      <dl>
        ${row.line && html`<dt>${t("fault.line")}</dt><dd>${row.line} <span class="quiet">${state.lines.get(row.line)?.codec ?? ""}</span></dd>`}
        ${row.line && row.device && html`<dt>${t("fault.device")}</dt><dd>${row.device}</dd>`}
        ${fault && html`<dt>${t("field.reason")}</dt><dd>${faultText(fault)} ${faultText(fault) !== fault && html`<span class="quiet small">${fault}</span>`}</dd>`}
        ${place && html`<dt>${t("person.address")}</dt><dd>${place}</dd>`}
        ${(person?.phones?.length || row.caller || contacts?.length > 0) && html`<dt>${t("person.phone")}</dt><dd class=${full ? "full" : ""}>${(full ? full.phones.map(dialled) : person?.phones)?.join("  ") || (caller ?? "–")} ${full
          ? html`<span class="quiet small">${t("reveal.hidden_in")} <${Countdown} at=${revealed.value.until} /></span>`
          : html`<button class="small reveal" disabled=${!mayReveal} onClick=${() => openForm(row.id, "reveal")}><kbd>R</kbd>${label("action", "reveal")}</button>`}</dd>`}
        ${row.hotline && html`<dt>${t("person.hotline")}</dt><dd>${t("call.hotline", { n: row.hotline })} · ${caller ?? t("call.withheld")}${row.attempts > 1 ? html` <b>${t("call.attempts", { n: row.attempts })}</b>` : ""}</dd>`}
        ${data?.incident?.handed && html`<dt>${label("kind", "hand_over")}</dt><dd>${data.incident.handed.hotline} · ${label("handed", data.incident.handed.state)} ${data.incident.handed.theirs}</dd>`}
        ${person?.health_note && html`<dt>${t("person.health")}</dt><dd class="health">${person.health_note}</dd>`}
        ${data?.incident?.position && html`<dt>${t("person.position")}</dt><dd>${data.incident.position.lat}, ${data.incident.position.lon} <span class="quiet">${label("position", data.incident.position.source)}</span></dd>`}
        ${contacts?.length > 0 && html`<dt>${t("person.contacts")}</dt><dd class="contacts">${contacts.map((contact, i) => html`<span key=${i}>${data.dial?.length ? "" : `${i + 1} `}${contact.relation} ${contact.name} <span class=${full ? "full" : "quiet"}>${full ? dialled(contact.phone) : contact.phone}</span></span>`)}</dd>`}
      </dl>
      ${person?.masked && html`<p class="quiet small">${t("person.masked")}</p>`}
    </section>`;
}

/** Several people registered under one number: never picked silently. */
function SharedNumber({ row, data }) {
  if (!data?.persons?.length) return null;
  return html`<section class="shared"><h3>${t("person.which", { n: data.persons.length })}</h3>
    <ul>${data.persons.map((one) => html`<li key=${one.id}><span><b>${one.name}</b> ${one.age ? t("person.age", { n: one.age }) : ""} ${risks(one.risks)} <span class="quiet">${one.place ?? ""}</span></span>
      <button onClick=${() => send(row.id, "identify", { person: one.id })}>${t("person.this_one")}</button></li>`)}</ul>
  </section>`;
}

/** Whom the call may be about: shown, never taken for the caller. */
function Hints({ row, data }) {
  const hints = data?.incident?.hints ?? [];
  if (hints.length === 0) return null;
  return html`<section class="shared hints"><h3>${t("person.hints")}</h3>
    <ul>${hints.map((one) => html`<li key=${one.why + one.id}><span>${label("hint", one.why)} <b>${one.name}</b> ${one.age ? t("person.age", { n: one.age }) : ""} <span class="quiet">${one.place ?? ""}</span></span>
      ${row.state !== "closed" && html`<button onClick=${() => send(row.id, "identify", { person: one.id })}>${t("person.this_one")}</button>`}</li>`)}</ul>
  </section>`;
}

function Plan({ row, data }) {
  const plan = data?.plan ?? [];
  if (plan.length === 0) return null;
  const next = plan.find((step) => !step.done);
  return html`<section class="plan"><h3>${t("plan.title")} <kbd>Space</kbd></h3>
    <ol>${plan.map((step) => html`
      <li key=${step.id} class=${step.done ? "done" : step === next ? "next" : ""}>
        <button disabled=${step.done || row.state === "closed"} onClick=${() => send(row.id, "step", { step: step.id })}>
          <i aria-hidden="true">${step.done ? "✓" : step === next ? "▸" : "□"}</i> ${label("step", step.id)}${step.required ? html`<span class="required" title=${t("plan.required")}>*</span>` : ""}
        </button>
      </li>`)}</ol>
  </section>`;
}

/** Tick the next open step of the plan of the opened incident. */
export function nextStep() {
  const data = detail.value?.id === opened.value ? detail.value?.data : null;
  const step = data?.plan?.find((one) => !one.done);
  if (step) send(opened.value, "step", { step: step.id });
}

/** Taken back because the incident is resolved: the order is over, nobody has withdrawn it. */
const isOver = (leg) => leg.state === "withdrawn" && leg.reason === "resolved";

/** How it was sent, and how far it is. */
const legFacts = (leg) => [label("channel", leg.channel), leg.travel_min === null ? "" : travel(leg.travel_min)].filter(Boolean).join(" · ");

function Legs({ row, data }) {
  const legs = data?.legs ?? [];
  return html`<section class="legs"><h3>${t("legs.title")} <span class="quiet">${legs.length || ""}</span></h3>
    ${legs.length === 0 ? html`<p class="quiet">${t("legs.none")}</p>` : html`
    <table>
      <thead><tr><th>${t("legs.responder")}</th><th>${t("legs.state")}</th><th>${t("legs.ordered")}</th><th>${t("legs.answered")}</th></tr></thead>
      <tbody>${legs.map((leg) => html`
        <tr key=${leg.delivery} class=${leg.state}>
          <td>${leg.name} <span class="quiet">${legFacts(leg)}</span>${leg.repeat ? html` <b class="cries" title=${t("legs.repeat")}>×${leg.repeat + 1}</b>` : ""}</td>
          <td><span class=${`leg ${leg.state}`}>${isOver(leg) ? t("leg.over") : label("leg", leg.state)}</span>${leg.reason ? html` <span class="quiet">· ${label("leg_reason", leg.reason)}</span>` : ""}
            ${OPEN_LEGS.has(leg.state) && row.state !== "closed" && html`<button class="small" onClick=${() => send(row.id, "withdraw", { delivery: leg.delivery })}>${t("legs.withdraw")}</button>`}</td>
          <td><${Time} at=${leg.ordered_at} /></td>
          <td>${leg.answered_at ? html`<${Time} at=${leg.answered_at} /> <span class="by" title=${leg.by}>${leg.by}</span>` : leg.state === "queued" || leg.state === "sent" ? html`<${Countdown} at=${Date.parse(leg.reply_by)} />` : "–"}</td>
        </tr>`)}</tbody>
    </table>`}
  </section>`;
}

export function Incident() {
  incidentsChanged.value;
  const id = opened.value;
  const data = detail.value?.id === id ? detail.value?.data : null;
  const known = id === null ? null : state.incidents.get(id) ?? (data?.incident ? { ...data.incident, dueMs: data.incident.due ? Date.parse(data.incident.due.at) : Infinity } : null);
  if (!known) {
    return html`<section class="incident nothing" tabindex="-1" aria-label=${t("incident.title")}>
      <p>${t("incident.none")}</p><p class="quiet">${t("incident.none_hint")}</p>
    </section>`;
  }
  const row = shown(known);
  return html`
    <section class="incident" tabindex="0" aria-label=${`${t("incident.title")} ${row.id}`}>
      <${Head} row=${row} />
      <${Actions} row=${row} />
      <div class="incident-body">
        ${form.value?.incident === id && html`<${Form} key=${`${id} ${form.value.name}`} row=${row} data=${data} name=${form.value.name} />`}
        ${detail.value?.failed && html`<p class="error">${t("incident.not_loaded")}</p>`}
        <${Person} row=${row} data=${data} />
        <${Dials} row=${row} data=${data} />
        <${SharedNumber} row=${row} data=${data} />
      <${Hints} row=${row} data=${data} />
        <${Plan} row=${row} data=${data} />
        <${Legs} row=${row} data=${data} />
        <${Timeline} data=${data} />
        ${row.state === "closed" && data?.incident?.outcome && html`<p class="quiet">${t("incident.outcome")} ${label("outcome", data.incident.outcome)}</p>`}
      </div>
    </section>`;
}
