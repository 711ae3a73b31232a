// What has happened, newest first, each with its time, who did it and what it said.
import { faultText } from "../fault.js";
import { label, language, t } from "../i18n.js";
import { Time, html, travel } from "../ui.js";
import { refText } from "./dial.js";

/** Responder id → name, from everything the detail names. */
function namesOf(data) {
  const names = new Map([["desk", label("responder_kind", "desk")]]);
  for (const one of [...(data.decision?.candidates ?? []), ...(data.candidates_now ?? []), ...(data.legs ?? [])]) if (one.name && one.responder !== "desk") names.set(one.responder, one.name);
  return names;
}

/** Who was rung and has heard the order is told by a person that it is over: nothing has failed. */
const isForVoice = ({ detail }) => Boolean(detail?.notice) && detail.reason === "tell_by_voice";

const ANSWERS = new Set(["accept", "decline", "en_route", "arrived", "done"]);

/** One entry in words: [what, facts]. */
export function describe(entry, names, data = null) {
  const { kind, detail = {} } = entry;
  const name = (id) => names.get(id) ?? id ?? "";
  const facts = [];
  const add = (text) => text && facts.push(text);
  if (detail.received_at || detail.occurred_at) {
    // an event of the field
    const more = detail.detail ?? {};
    if (ANSWERS.has(kind)) {
      add(name(detail.device));
      add(more.by);
      add(more.note);
    } else {
      const caller = more.caller_e164 ?? more.caller; // of a call the device is the caller's number: said once
      add([detail.line, caller ? null : detail.device].filter(Boolean).join(" / "));
      add(caller);
      if (more.hotline) add(t("call.hotline", { n: more.hotline }));
      add(more.agent_name || more.agent);
      if (more.reason) add(kind === "line_lost" ? faultText(more.reason) : label("reason_word", more.reason));
      // what a home unit says in codes: the trigger, what happened to it, the room; and whether it proved who it is
      for (const said of ["device_type", "status", "location"]) add((language.value === "zh-CN" && more[`${said}_zh`]) || more[said]);
      if (detail.integrity === "unauthenticated") add(t("timeline.unauthenticated"));
      if (more.zone) add(`${t("timeline.zone")} ${more.zone}`);
      if (detail.battery_pct !== undefined) add(`${t("timeline.battery")} ${Math.round(detail.battery_pct)}%`);
      if (detail.late) add(label("late", detail.late));
    }
    if (entry.phase && entry.phase !== "raise" && entry.phase !== "state") add(label("phase", entry.phase));
    return [label("kind", kind), facts];
  }
  switch (kind) {
    case "dispatch":
      add(name(detail.responder));
      if (detail.decision) {
        if (detail.decision.travel_min !== undefined) add(travel(detail.decision.travel_min));
        add(label("rule", detail.decision.rule));
      }
      break;
    case "sent":
    case "failed":
    case "expired":
      if (detail.notice) {
        // no order: that it is withdrawn, or that another has taken it
        const [what, by] = detail.notice.split(":");
        add(name(detail.responder));
        if (by) add(`→ ${name(by)}`);
        if (isForVoice(entry)) return [t(`timeline.${what}_by_voice`), facts];
        add(label("leg_reason", detail.reason));
        return [t(`timeline.${what}_${kind}`), facts];
      }
      add(name(detail.responder));
      if (detail.repeat) add(`×${detail.repeat + 1}`);
      add(label("leg_reason", detail.reason));
      break;
    case "escalate":
    case "remind":
      add(label("reason_word", detail.reason));
      if (detail.to) add(`→ ${name(detail.to)}`);
      break;
    case "resolve":
      add(label("outcome", detail.outcome));
      add(detail.note);
      break;
    case "call_back":
      if (detail.reason) add(label("reason_word", detail.reason));
      if (detail.satisfaction) add(`${"★".repeat(detail.satisfaction)}${"☆".repeat(5 - detail.satisfaction)}`);
      add(detail.note);
      break;
    case "step":
      add(label("step", detail.step));
      break;
    case "hand_over":
      if (detail.to) add(`→ ${detail.to}`);
      if (detail.state) add(label("handed", detail.state));
      add(detail.theirs);
      add(detail.note ?? detail.reason);
      break;
    case "dial":
    case "hang_up":
    case "transfer":
      if (detail.ref) add(refText(detail.ref, data));
      if (detail.to) add(`→ ${detail.to}`);
      if (detail.outcome) add(label("dial_outcome", kind === "dial" || detail.outcome !== "done" ? detail.outcome : "carried_out"));
      break;
    case "merge":
      add(detail.into ? `→ ${detail.into}` : `← ${detail.merged ?? ""}`);
      break;
    case "unmerge":
      add(`→ ${detail.into ?? ""}`);
      break;
    case "identify":
      add(label("reason_word", detail.reason));
      break;
    case "assign":
      add(`→ ${detail.to ?? ""}`);
      break;
    default:
      add(detail.text ?? detail.note ?? detail.reason);
  }
  return [label("kind", kind), facts];
}

export function Timeline({ data }) {
  // A dispatch by an operator is journalled twice: the wish and the order with its reasons. One line says both.
  const entries = (data?.timeline ?? []).filter((entry) => entry.kind !== "dispatch" || entry.detail?.delivery);
  const names = data ? namesOf(data) : new Map();
  return html`<section class="timeline"><h3>${t("timeline.title")} <span class="quiet">${entries.length || ""}</span></h3>
    <ol>${[...entries].reverse().map((entry) => {
      const [what, facts] = describe(entry, names, data);
      return html`<li key=${entry.seq} class=${`kind-${isForVoice(entry) ? "by_voice" : entry.kind}`}>
        <${Time} at=${entry.at} /> <span class="what"><b>${what}</b> ${facts.map((fact, i) => html`<span key=${i}>${fact}</span>`)}</span>
        <span class="actor">${entry.actor ?? ""}</span>
      </li>`;
    })}</ol>
  </section>`;
}
