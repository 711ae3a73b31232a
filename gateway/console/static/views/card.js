// The card: who it is, how old what we know is, devices, what was before, the hotline that was dialled, and a caller whom no register has.
import { send } from "../commands.js";
import { faultText, isWord } from "../fault.js";
import { label, t } from "../i18n.js";
import { state } from "../store.js";
import { Ago, Countdown, Time, callerText, html, risks, who } from "../ui.js";
import { form, openForm, revealed } from "../work.js";
import { toldOf } from "./story.js";

const PAST_SHOWN = 3;
const OLD_DAYS = 366; // domain 4.2: the register is gone through every year

/** As it is dialled here: the country left out, the trunk 0 before an area code. */
export const dialled = (number) => number.replace(/^\+86(1\d{10})$/, "$1").replace(/^\+86/, "0");

/** The last thing said about why a device or line is in trouble. */
function faultOf(row, data) {
  const said = (data?.timeline ?? []).filter((entry) => entry.kind === row.kind && entry.detail?.detail?.reason);
  return row.line ? said.at(-1)?.detail.detail.reason ?? "" : "";
}

/** How old the card is: what it says may not hold any more. */
function ageOfEntry({ days }) {
  if (days === null) return t("person.confirmed_never");
  return days > OLD_DAYS ? t("person.confirmed_old", { n: days }) : t("person.confirmed_ago", { n: days });
}

/** The hotline that was dialled, what it is called, and whether it is one of those that only help out. */
function Hotline({ row, data, caller }) {
  const hotline = data?.hotline;
  return html`<dt>${t("person.hotline")}</dt><dd><b>${t("call.hotline", { n: row.hotline })}</b> ${hotline?.name ?? ""}${hotline?.supplementary ? html` <span class="risk plain">${t("hand_over.supplementary")}</span>` : ""}
    · ${caller ?? t("call.withheld")}${row.attempts > 1 ? html` <b>${t("call.attempts", { n: row.attempts })}</b>` : ""}
    ${hotline?.profiles?.length > 0 && html`<span class="quiet small">${t("card.profiles", { names: hotline.profiles.map((one) => label("profile", one)).join(" · ") })}</span>`}</dd>`;
}

function Devices({ list }) {
  return html`<dt>${t("card.devices")}</dt><dd class="devices-of">${list.map((one) => html`<span key=${`${one.line} ${one.device}`}>${one.model || one.device} <span class=${`quiet device-${one.state}`}>${label("device_state", one.state)}${one.battery_pct === null ? "" : ` · ${Math.round(one.battery_pct)}%`}${one.seen_at ? html` · <${Ago} at=${one.seen_at} />` : ""}</span></span>`)}</dd>`;
}

/** What was with this person or device before: how often, and the newest three with how they ended; the whole story stands below. */
function Past({ id }) {
  const told = toldOf(id);
  const story = told?.person ?? told?.device;
  if (!story) return null;
  const facts = [
    t("card.past_count", { n: story.incidents, days: story.days }),
    story.falls ? t("card.past_falls", { n: story.falls }) : "",
    story.false_alarms ? t("card.past_false", { n: story.false_alarms }) : "",
    story.complaints ? t("card.past_complaints", { n: story.complaints }) : "",
  ];
  return html`<dt>${t("card.past")}</dt><dd class="past"><span>${facts.filter(Boolean).join(" · ")}</span>
    ${story.latest.slice(0, PAST_SHOWN).map((one) => html`<span key=${one.id}><${Time} at=${one.opened_at} /> ${label("kind", one.kind)} · ${one.outcome ? label("outcome", one.outcome) : label("state", one.state)}</span>`)}</dd>`;
}

/** What a caller said whom no register has. */
function Record({ row, record }) {
  return html`
    ${record.address && html`<dt>${t("person.address")}</dt><dd>${record.address}</dd>`}
    ${record.what && html`<dt>${t("field.what")}</dt><dd>${record.what}</dd>`}
    <dt>${t("card.record")}</dt><dd><span class="quiet">${t("card.record_by", { by: record.by })} <${Time} at=${record.at} /></span>${" "}
      ${row.state !== "closed" && html`<button class="small" onClick=${() => openForm(row.id, "record")}><kbd>I</kbd>${t("card.record_change")}</button>`}</dd>`;
}

/** mayReveal: full numbers may be asked for. */
export function Person({ row, data, mayReveal }) {
  const full = revealed.value?.id === row.id ? revealed.value.numbers : null;
  const person = full?.person ?? data?.person; // whoever is not in charge sees the whole record with the numbers, for a minute
  const fault = faultOf(row, data);
  const caller = full?.caller ? dialled(full.caller) : row.caller && callerText(row.caller);
  const contacts = full?.contacts ?? person?.contacts;
  const place = person?.address || (data?.record ? null : row.place);
  const isStranger = !person && !row.line && !row.candidates && !data?.record && row.state !== "closed" && row.caller !== null;
  return html`
    <section class="person">
      <h3><b class="name">${person?.name ?? data?.record?.name ?? who(row)}</b> ${(person?.age ?? row.age) ? html`<span>${t("person.age", { n: person?.age ?? row.age })}</span>` : ""}
        ${(row.risks ?? []).map((risk) => html`<span class="risk" key=${risk}>${label("risk", risk)}</span>`)}
        ${(person?.categories ?? []).filter((one) => one !== "general").map((one) => html`<span class="risk plain" key=${one}>${label("category", one)}</span>`)}
        ${isStranger && html`<button class="small record" onClick=${() => openForm(row.id, "record")}><kbd>I</kbd>${label("action", "record")}</button>`}
      </h3>
      <dl>
        ${row.line && html`<dt>${t("fault.line")}</dt><dd>${row.line} <span class="quiet">${state.lines.get(row.line)?.codec ?? ""}</span></dd>`}
        ${row.line && row.device && html`<dt>${t("fault.device")}</dt><dd>${row.device}</dd>`}
        ${fault && html`<dt>${t("field.reason")}</dt><dd>${faultText(fault)} ${!isWord(fault) && faultText(fault) !== fault && html`<span class="quiet small">${fault}</span>`}</dd>`}
        ${place && html`<dt>${t("person.address")}</dt><dd>${place}</dd>`}
        ${data?.record && !person && html`<${Record} row=${row} record=${data.record} />`}
        ${(person?.phones?.length || row.caller || contacts?.length > 0) && html`<dt>${t("person.phone")}</dt><dd class=${full ? "full" : ""}>${(full ? full.phones.map(dialled) : person?.phones)?.join("  ") || (caller ?? "–")} ${full
          ? html`<span class="quiet small">${t("reveal.hidden_in")} <${Countdown} at=${revealed.value.until} /></span>`
          : html`<button class="small reveal" disabled=${!mayReveal} onClick=${() => openForm(row.id, "reveal")}><kbd>R</kbd>${label("action", "reveal")}</button>`}</dd>`}
        ${row.hotline && html`<${Hotline} row=${row} data=${data} caller=${caller} />`}
        ${data?.incident?.handed && html`<dt>${label("kind", "hand_over")}</dt><dd>${data.incident.handed.hotline} · ${label("handed", data.incident.handed.state)} ${data.incident.handed.theirs}</dd>`}
        ${person?.health_note && html`<dt>${t("person.health")}</dt><dd class="health">${person.health_note}</dd>`}
        ${person?.confirmed && html`<dt>${t("person.confirmed")}</dt><dd class=${`confirmed ${person.confirmed.days === null || person.confirmed.days > OLD_DAYS ? "old" : ""}`}>${ageOfEntry(person.confirmed)}${person.confirmed.by ? html` <span class="quiet">${person.confirmed.by}</span>` : ""}${person.assessed?.over ? html` · ${t("person.assessed_over")}` : ""}</dd>`}
        ${data?.incident?.position && html`<dt>${t("person.position")}</dt><dd>${data.incident.position.lat}, ${data.incident.position.lon} <span class="quiet">${label("position", data.incident.position.source)}</span></dd>`}
        ${contacts?.length > 0 && (full || !data.dial?.length) && html`<dt>${t("person.contacts")}</dt><dd class="contacts">${contacts.map((contact, i) => html`<span key=${i}>${data.dial?.length ? "" : `${i + 1} `}${contact.relation} ${contact.name} <span class=${full ? "full" : "quiet"}>${full ? dialled(contact.phone) : contact.phone}</span></span>`)}</dd>`}
        ${data?.devices?.length > 0 && html`<${Devices} list=${data.devices} />`}
        <${Past} id=${row.id} />
      </dl>
      ${person?.masked && html`<p class="quiet small">${t("person.masked")}</p>`}
    </section>`;
}

/** What tells one of several people under a number apart. */
export const personText = (one) => [one.age ? t("person.age", { n: one.age }) : "", risks(one.risks), one.place ?? "", (one.devices ?? []).join(" ")].filter(Boolean).join(" · ");

/** Several persons registered under one number: never picked silently. */
export function SharedNumber({ row, data }) {
  if (!data?.persons?.length || (form.value?.incident === row.id && form.value.name === "identify")) return null;
  return html`<section class="shared"><h3>${t("person.which", { n: data.persons.length })} <kbd>I</kbd></h3>
    <ul>${data.persons.map((one) => html`<li key=${one.id}><span><b>${one.name}</b> ${one.age ? t("person.age", { n: one.age }) : ""} ${risks(one.risks)} <span class="quiet">${one.place ?? ""} ${(one.devices ?? []).join(" ")}</span></span>
      <button onClick=${() => send(row.id, "identify", { person: one.id })}>${t("person.this_one")}</button></li>`)}</ul>
  </section>`;
}

/** Whom the call may be about: shown, never taken for the caller. */
export function Hints({ row, data }) {
  const hints = data?.incident?.hints ?? [];
  if (hints.length === 0) return null;
  return html`<section class="shared hints"><h3>${t("person.hints")}</h3>
    <ul>${hints.map((one) => html`<li key=${one.why + one.id}><span>${label("hint", one.why)} <b>${one.name}</b> ${one.age ? t("person.age", { n: one.age }) : ""} <span class="quiet">${one.place ?? ""}</span></span>
      ${row.state !== "closed" && html`<button onClick=${() => send(row.id, "identify", { person: one.id })}>${t("person.this_one")}</button>`}</li>`)}</ul>
  </section>`;
}
