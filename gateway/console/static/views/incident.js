// The incident: who, where, what is to be done, orders and how far they have come, and everything that has happened.
import { acknowledge, notice, send, shown } from "../commands.js";
import { label, t } from "../i18n.js";
import { incidentsChanged, me, role, rowOf } from "../store.js";
import { Countdown, Mark, Time, html, serviceText, travel, who } from "../ui.js";
import { detail, form, hasDraft, openForm, opened } from "../work.js";
import { clockTime } from "../clock.js";
import { WatchOf } from "./absence.js";
import { Hints, Person, SharedNumber } from "./card.js";
import { Dials } from "./dial.js";
import { Fold } from "./fold.js";
import { Form } from "./forms.js";
import { Loop } from "./loop.js";
import { Plan } from "./plan.js";
import { Presence } from "./presence.js";
import { stateText } from "./queue.js";
import { Why } from "./responders.js";
import { Affected, LastTold, Tellings } from "./silence.js";
import { PastOf } from "./past.js";
import { Timeline } from "./timeline.js";

const OPEN_LEGS = new Set(["queued", "sent", "accepted", "en_route", "arrived"]);

const AT_ONCE = new Set(["resume", "unmerge", "unshelve"]); // nothing has to be said with these

/** What the keys and buttons offer: [action, key, may it be done now?, is it shown only then?]. `data`: the detail, if it is there. */
export function actionsOf(row, data = null) {
  const isOpen = row.state !== "closed";
  const isRequest = row.kind === "service_request";
  const isTaken = row.state === "acknowledged";
  const isHeld = Boolean(data?.incident.held_until);
  return [
    ["acknowledge", "A", row.state === "raised"],
    ["dispatch", "D", isOpen && row.state !== "resolved"],
    ["escalate", "E", isOpen && row.state !== "resolved"],
    ["note", "N", true],
    ["assign", "T", isTaken || row.state === "raised"],
    ["hand_over", "O", row.state === "acknowledged" && row.owner === me.value],
    ["resolve", "C", row.state === "acknowledged"],
    ["call_back", "V", row.state === "resolved" || (isOpen && (row.flags ?? []).includes("call_due"))],
    ["reveal", "R", (isOpen && row.owner !== null && row.owner === me.value) || role.value === "supervisor"],
    ["complain", "P", row.state === "resolved" || row.state === "closed"],
    ["handle", "L", (isTaken || row.state === "resolved") && (row.flags ?? []).includes("complaint"), true],
    ["waive", "W", row.state === "resolved", true],
    ["hold", "B", (isTaken || row.state === "resolved") && !isHeld, true],
    ["resume", "B", isHeld && isOpen, true],
    ["merge", "M", !isRequest && (row.state === "raised" || isTaken), true],
    ["split", "Y", isOpen && (data?.incident.parts ?? []).length > 0, true],
    ["shelve", "S", !row.shelf && (row.state === "raised" || isTaken) && Boolean(row.line), true],
    ["unshelve", "S", Boolean(row.shelf), true],
    ["unmerge", "U", row.state === "closed" && Boolean(data?.incident.merged_at), true],
    ["cancel", "Q", isRequest && (row.state === "raised" || isTaken), true],
  ];
}

/** Do it, or open the form in which it is said how. */
export async function perform(id, action) {
  if (action === "acknowledge") return acknowledge(id);
  if (!AT_ONCE.has(action)) return openForm(id, action);
  const answer = await send(id, action);
  if (answer.ok) notice(() => t("notice.done", { id, action: label("action", action) }));
  return undefined;
}

function Head({ row, data }) {
  return html`
    <header class=${`incident-head ${row.severity} ${row.state}`}>
      <div class="first">
        <h2 class="id">${row.id}</h2> <${Mark} severity=${row.severity} withText=${true} />
        <b>${label("kind", row.kind)}</b>${row.line && html` <b>${who(row)}</b>`}${row.cries > 1 && html` <b class="cries">×${row.cries}</b>`}${row.affected > 0 && html` <b class="cries">${t("affected.head", { n: row.affected })}</b>`}
        <span class="spring"></span>
        ${row.due && html`<span class="deadline">${label("deadline", row.due.name)} <${Countdown} at=${row.dueMs} /> <span class="quiet">(${clockTime(row.dueMs)})</span></span>`}
      </div>
      <div class="second">
        <span class=${`state ${row.state}`}>${stateText(row)}</span>
        ${row.owner && html`<span>${t("incident.owner", { name: row.owner })}</span>`}<${Presence} id=${row.id} />
        ${(row.flags ?? []).map((flag) => html`<span class="flag" key=${flag}>${label("flag", flag)}</span>`)}
        ${data?.beside?.visiting && html`<span class="flag visiting">${t("beside.badge", { n: data.beside.visiting })}</span>`}
        <span class="quiet">${t("incident.opened")} <${Time} at=${row.opened_at} /></span>
        <${LastTold} data=${data} />
      </div>
    </header>`;
}

function Actions({ row, data }) {
  return html`<div class="actions" role="group" aria-label=${t("incident.actions")}>
    ${actionsOf(row, data).filter(([action, , can, onlyThen]) => action !== "reveal" && (can || !onlyThen)).map(([action, key, can]) => html`
      <button key=${action} disabled=${!can} class=${`${action} ${form.value?.name === action ? "on" : ""}`}
        onClick=${() => perform(row.id, action)}>
        <kbd>${key}</kbd>${label("action", action)}${hasDraft(row.id, action) ? " ✎" : ""}
      </button>`)}
  </div>`;
}

/** Taken back because the incident is resolved: the order is over, nobody has withdrawn it. */
const isOver = (leg) => leg.state === "withdrawn" && leg.reason === "resolved";

/** How it was sent, and how far it is. */
const legFacts = (leg) => [label("channel", leg.channel), leg.travel_min === null ? "" : travel(leg.travel_min)].filter(Boolean).join(" · ");

const ROLES = ["social", "service", "medical", "neighbour", "doctor", "hospital", "emergency"];

/** The orders by what they are for: rivals stand together. [[role, legs]…] */
const byRole = (legs) => ROLES.map((role) => [role, legs.filter((leg) => (leg.role ?? "social") === role)]).filter(([, mine]) => mine.length > 0);

/** What an ordinary service is asked for, by whom and when. */
function Wish({ data }) {
  const wish = data?.request;
  if (!wish) return null;
  return html`<section class="wish"><h3>${serviceText(wish.service, wish.service_name)}${wish.entitled ? html` <span class="risk plain">${t("requests.entitled")}</span>` : ""}</h3>
    <p>${t("requests.wanted")} <b><${Time} at=${wish.wanted_at} /></b>${wish.provider?.promised_at ? html` · ${t("requests.promised")} <b><${Time} at=${wish.provider.promised_at} /></b>` : ""}</p>
    ${wish.wish && html`<p>“${wish.wish}”</p>`}
  </section>`;
}

function Legs({ row, data }) {
  const legs = data?.legs ?? [];
  const isGrouped = legs.some((leg) => leg.role && leg.role !== "social");
  return html`<${Fold} name="legs" title=${t("legs.title")} count=${legs.length || ""}>
    ${legs.length === 0 ? html`<p class="quiet">${t("legs.none")}</p>` : html`
    <table>
      <thead><tr><th>${t("legs.responder")}</th><th>${t("legs.state")}</th><th>${t("legs.ordered")}</th><th>${t("legs.answered")}</th></tr></thead>
      ${byRole(legs).map(([role, mine]) => html`<tbody key=${role}>
        ${isGrouped && html`<tr class="role"><th colspan="4" scope="rowgroup">${label("role", role)} <span>${mine.length}</span></th></tr>`}
        ${mine.map((leg) => html`
        <tr key=${leg.delivery} class=${leg.state}>
          <td>${leg.name} <span class="quiet">${legFacts(leg)}</span>${leg.repeat ? html` <b class="cries" title=${t("legs.repeat")}>×${leg.repeat + 1}</b>` : ""}</td>
          <td><span class=${`leg ${leg.state}`}>${isOver(leg) ? t("leg.over") : label("leg", leg.state)}</span>${leg.reason ? html` <span class="quiet">· ${label("leg_reason", leg.reason)}</span>` : ""}
            ${OPEN_LEGS.has(leg.state) && row.state !== "closed" && html`<button class="small" onClick=${() => send(row.id, "withdraw", { delivery: leg.delivery })}>${t("legs.withdraw")}</button>`}</td>
          <td><${Time} at=${leg.ordered_at} /></td>
          <td>${leg.answered_at ? html`<${Time} at=${leg.answered_at} /> <span class="by" title=${leg.by}>${leg.by}</span>` : leg.state === "queued" || leg.state === "sent" ? html`<${Countdown} at=${Date.parse(leg.reply_by)} />` : "–"}</td>
        </tr>`)}</tbody>`)}
    </table>`}
  </${Fold}>`;
}

/** Who was told besides, and by which ways the matter reached us. */
function Beside({ data }) {
  const { sources = [], notices = [], visiting } = data?.beside ?? {};
  if (!visiting && notices.length === 0 && sources.length < 2) return null;
  return html`<${Fold} name="beside" title=${t("beside.title")} count=${notices.length || ""}>
    ${visiting && html`<p><b>${t("beside.visiting", { n: visiting })}</b></p>`}
    ${sources.length > 1 && html`<p><span class="quiet">${t("beside.sources", { n: sources.length })}</span> ${sources.map((one) => `${label("way", one.way)} ${one.of}`).join(" · ")}</p>`}
    ${notices.length > 0 && html`<ul>${notices.map((one, i) => html`<li key=${i}>${label("told_who", one.who)} ${one.name} · ${label("moment", one.moment)} · <span class="quiet">${label("channel", one.channel)}</span> ${label("notice_state", one.state)}${one.reason ? html` <span class="quiet">· ${label("leg_reason", one.reason)}</span>` : ""} <${Time} at=${one.at} /></li>`)}</ul>`}
  </${Fold}>`;
}

/** `actions`: in place of what can be done to it. */
export function Incident({ actions: Acts = Actions } = {}) {
  incidentsChanged.value;
  const id = opened.value;
  const data = detail.value?.id === id ? detail.value?.data : null;
  const known = id === null ? null : rowOf(id) ?? (data?.incident ? { ...data.incident, dueMs: data.incident.due ? Date.parse(data.incident.due.at) : Infinity } : null);
  if (!known) {
    return html`<section class="incident nothing" tabindex="-1" aria-label=${t("incident.title")}>
      <p>${t("incident.none")}</p><p class="quiet">${t("incident.none_hint")}</p>
    </section>`;
  }
  const row = shown(known);
  return html`
    <section class="incident" tabindex="0" aria-label=${`${t("incident.title")} ${row.id}`}>
      <${Head} row=${row} data=${data} />
      <${Acts} row=${row} data=${data} />
      <div class="incident-body">
        ${form.value?.incident === id && html`<${Form} key=${`${id} ${form.value.name}`} row=${row} data=${data} name=${form.value.name} />`}
        ${detail.value?.failed && html`<p class="error">${t("incident.not_loaded")}</p>`}
        <${Wish} data=${data} />
        <${Person} row=${row} data=${data} mayReveal=${actionsOf(row).some(([action, , can]) => action === "reveal" && can)} />
        <${Dials} row=${row} data=${data} />
        <${SharedNumber} row=${row} data=${data} />
        <${Hints} row=${row} data=${data} />
        <${Affected} row=${row} data=${data} />
        <${WatchOf} key=${`watch ${id}`} row=${row} data=${data} />
        <${Plan} row=${row} data=${data} />
        <${Loop} data=${data} />
        <${Legs} row=${row} data=${data} />
        ${data?.request && html`<section class="why responders-body"><${Why} id=${id} data=${data} /></section>`}
        <${Beside} data=${data} />
        <${Tellings} data=${data} />
        <${PastOf} row=${row} />
        <${Timeline} data=${data} />
        ${row.state === "closed" && data?.incident?.outcome && html`<p class="quiet">${t("incident.outcome")} ${label("outcome", data.incident.outcome)}</p>`}
      </div>
    </section>`;
}
