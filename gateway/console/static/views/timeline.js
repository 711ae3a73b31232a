// What has happened, newest first, each with its time, who did it and what it said.
import { faultText } from "../fault.js";
import { label, language, t } from "../i18n.js";
import { clockTime } from "../clock.js";
import { Time, html, lasted, travel } from "../ui.js";
import { refText } from "./dial.js";
import { Fold } from "./fold.js";
import { stepText } from "./plan.js";

/** Responder id → name, from everything the detail names. */
export function namesOf(data) {
  const names = new Map([["desk", label("responder_kind", "desk")]]);
  for (const one of [...(data.decision?.candidates ?? []), ...(data.candidates_now ?? []), ...(data.legs ?? [])]) if (one.name && one.responder !== "desk") names.set(one.responder, one.name);
  return names;
}

/** Who was rung and has heard the order is told by a person that it is over: nothing has failed. */
const isForVoice = ({ detail }) => Boolean(detail?.notice) && detail.reason === "tell_by_voice";

const ANSWERS = new Set(["accept", "decline", "en_route", "arrived", "done"]);

/** What the gateway itself found about silence: how long, of how many, through what; and the last sign of life of a person. */
function ofSilence(more) {
  const path = /^path:(line:)?(.*)$/.exec(more.path ?? "");
  return [
    more.by === "gateway" ? t("timeline.by_gateway") : "",
    path && !path[1] ? t("timeline.path", { path: path[2] }) : "",
    more.device_class ? t("timeline.class", { name: more.device_class }) : "",
    more.silent_s !== undefined ? t("timeline.silent_for", { time: lasted(more.silent_s) }) : "",
    more.affected ? t("timeline.affected", { n: more.affected }) : "",
    more.registered_on ? t("timeline.registered_on", { lines: more.registered_on }) : "",
    more.last_sign_at ? `${t("timeline.last_sign")} ${clockTime(more.last_sign_at)} ${label("kind", more.last_sign)}` : "",
    more.sign ? t("timeline.by_sign", { sign: eventText({ kind: more.sign, phase: more.sign_phase }) }) : "",
    more.path_out ? t("timeline.path_out", { id: more.path_out }) : "",
  ];
}

/** Of these the text beside the notice is the gateway's own sentence in English: the label says the same. */
const SAID_BY_LABEL = new Set(["wrong_key", "stale_timestamp", "plain_not_allowed", "key_changed", "old_key"]);
const TEXT_SHOWN = 300; // characters of what a device or panel wrote

/** What people are to look at because no code says it: why a device cannot be read, an alarm that is in no table, the text of a page or record. */
function toLookAt(kind, more) {
  const text = typeof more.text === "string" && !SAID_BY_LABEL.has(more.notice) ? more.text.trim().slice(0, TEXT_SHOWN) : "";
  return [
    label("device_notice", more.notice ?? (more.plain_not_allowed === true ? "plain_not_allowed" : "")),
    kind === "general" && typeof more.event === "string" ? more.event : "",
    typeof more.fault === "string" ? more.fault.slice(0, TEXT_SHOWN) : "",
    text && `“${text}”`,
  ];
}

/** Facts that say of themselves what is over, so that nothing is put after them. */
const SAYS_OVER = new Set(["cancel", "restore", "test"]);

/** What an event of the field is called: the end of an alarm is not called like the alarm, nor is a device back because it said "online". */
function eventText({ kind, phase, detail }) {
  if (kind === "online" && detail?.detail?.sign) return t("timeline.device_back");
  return phase === "clear" && !SAYS_OVER.has(kind) ? t("timeline.over", { what: label("kind", kind) }) : label("kind", kind);
}

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
      for (const fact of toLookAt(kind, more)) add(fact);
      // what a home unit says in codes: the trigger, what happened to it, the room; and whether it proved who it is
      for (const said of ["device_type", "status", "location"]) add((language.value === "zh-CN" && more[`${said}_zh`]) || more[said]);
      if (detail.integrity === "unauthenticated") add(t("timeline.unauthenticated"));
      if (more.zone) add(`${t("timeline.zone")} ${more.zone}`);
      for (const fact of ofSilence(more)) add(fact);
      if (more.replayed === true) add(t("timeline.replayed"));
      if (more.limit_pct !== undefined) add(t("timeline.limit", { n: more.limit_pct }));
      if (detail.battery_pct !== undefined) add(`${t("timeline.battery")} ${Math.round(detail.battery_pct)}%`);
      if (detail.late) add(label("late", detail.late));
    }
    if (entry.phase === "repeat" || entry.phase === "test" || (entry.phase === "clear" && SAYS_OVER.has(kind))) add(label("phase", entry.phase));
    return [eventText(entry), facts];
  }
  switch (kind) {
    case "dispatch":
      add(name(detail.responder));
      if (detail.role) add(label("role", detail.role));
      if (detail.decision) {
        if (detail.decision.travel_min !== undefined) add(travel(detail.decision.travel_min));
        add(label("rule", detail.decision.rule));
      }
      break;
    case "sent":
    case "failed":
    case "expired":
      if (detail.told) {
        // no order: what a device was told
        add([detail.line, detail.device].filter(Boolean).join(" / "));
        add(label("telling_reason", detail.reason));
        return [t(`telling_${kind === "sent" ? "told" : "failed"}.${detail.told}`), facts];
      }
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
      if (detail.reason?.startsWith("ladder_")) {
        // a step after a missed check-in, or one that is put off
        const waits = detail.reason === "ladder_waits";
        add(label("ladder_step", waits ? detail.step : detail.reason.slice("ladder_".length)));
        add(waits ? t("ladder.put_off", { why: label("ladder_why", detail.why) }) : label("ladder_result", detail.result));
        if (detail.result === "ordered") add(`→ ${name(detail.to)}`);
        return [t("timeline.ladder"), facts];
      }
      add(label("reason_word", detail.reason));
      if (detail.to) add(`→ ${name(detail.to)}`);
      break;
    case "informed":
      add(label("told_who", detail.to?.startsWith("contact:") ? "family" : detail.to?.split(":")[0]));
      add(label("moment", detail.moment));
      add(label("channel", detail.channel));
      add(label("notice_state", detail.state));
      if (detail.reason) add(label("leg_reason", detail.reason));
      break;
    case "absence":
      add(detail.until ? t("timeline.until", { at: clockTime(detail.until) }) : t("timeline.until_cancelled"));
      add(t(`watch.by_${detail.by === "family" ? "family" : "operator"}`));
      add(detail.name);
      add(detail.note);
      break;
    case "absence_over":
      add(label("reason_word", detail.reason));
      break;
    case "resolve":
      add(label("outcome", detail.outcome));
      add(detail.note);
      if (detail.arrived) add(t("timeline.arrived_said", { at: clockTime(detail.arrived) }));
      if (detail.arrived_told) add(t("timeline.arrived_told", { at: clockTime(detail.arrived_told) }));
      add(detail.arrived_why);
      if (detail.override) add(t("timeline.override", { why: detail.override }));
      break;
    case "call_back":
      if (detail.reason) add(label("reason_word", detail.reason));
      if (detail.satisfaction) add(`${"★".repeat(detail.satisfaction)}${"☆".repeat(5 - detail.satisfaction)}`);
      add(detail.note);
      break;
    case "step":
      add(stepText(data?.plan?.find((step) => step.id === detail.step) ?? { id: detail.step }));
      break;
    case "hand_over":
      if (detail.to) add(`→ ${detail.to}`);
      if (detail.state) add(label("handed", detail.state));
      add(detail.theirs);
      add(detail.note ?? detail.reason);
      break;
    case "dial":
    case "hang_up":
    case "answer":
    case "transfer":
      if (detail.ref) add(refText(detail.ref, data));
      if (detail.to) add(`→ ${detail.to}`);
      if (detail.outcome) add(label("dial_outcome", kind === "dial" || detail.outcome !== "done" ? detail.outcome : "carried_out"));
      break;
    case "merge":
      add(detail.into ? `→ ${detail.into}` : `← ${detail.merged ?? ""}`);
      break;
    case "record":
      add(detail.name);
      add(detail.address);
      add(detail.what);
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
  return html`<${Fold} name="timeline" title=${t("timeline.title")} count=${entries.length || ""}>
    <ol>${[...entries].reverse().map((entry) => {
      const [what, facts] = describe(entry, names, data);
      return html`<li key=${entry.seq} class=${`kind-${isForVoice(entry) ? "by_voice" : entry.kind}`}>
        <${Time} at=${entry.at} /> <span class="what"><b>${what}</b>${facts.map((fact, i) => html`<span key=${i}>${fact}</span>`)}</span>
        <span class="actor">${entry.actor ?? ""}</span>
      </li>`;
    })}</ol>
  </${Fold}>`;
}
