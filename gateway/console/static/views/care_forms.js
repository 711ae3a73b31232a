// Forms of the work itself: dispatch, note, escalate, hand over, reveal, resolve, call back, complain. Rows of FORMS in forms.js.
import { now } from "../clock.js";
import { label, t } from "../i18n.js";
import { me, role, session } from "../store.js";
import { html, kilometres, travel } from "../ui.js";
import { showNumbers } from "../work.js";
import { Choice, Pick, Text, Tick, When, asInstant, asLocal } from "./fields.js";
import { Missing, missingSteps } from "./plan.js";

const OUTCOMES = ["helped", "hospital", "false_alarm", "test", "refused", "not_found", "handed_over"];
const STARS = ["1", "2", "3", "4", "5"]; // the key is the number of stars
const REASONS = ["call_back", "verify_identity", "emergency_service"];
const DISPATCHABLE = new Set(["chosen", "fits", "at_capacity", "off_duty"]); // the last two: a person may know better
const ROLES = ["medical", "neighbour", "doctor", "hospital"]; // the nearest of these may be asked for; emergency services an operator rings
const LEADS = new Set(["supervisor", "local"]);
const LEAST_REASON = 8; // characters, as the core has it
const CIRCLE_MIN = 15; // until the detail says what it is here

const said = (text) => Boolean(text?.trim());
const given = (facts) => Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false));

const mayGo = (data) => (data?.candidates_now ?? []).filter((one) => DISPATCHABLE.has(one.verdict));

function Dispatch({ row, data, values, set }) {
  const list = data?.candidates_now ?? [];
  if (!data) return html`<p class="quiet">${t("form.loading")}</p>`;
  const isOther = Boolean(values.role || values.skill);
  return html`<fieldset class=${`field candidates ${isOther ? "quiet" : ""}`}><legend>${t("field.responder")}</legend>
    ${list.map((one) => html`
      <label key=${one.responder} class=${one.verdict}>
        <input type="radio" name="responder" value=${one.responder} checked=${!isOther && values.responder === one.responder} disabled=${!DISPATCHABLE.has(one.verdict)} onChange=${() => set({ responder: one.responder, role: "", skill: "" })} />
        ${mayGo(data).indexOf(one) >= 0 && html`<kbd>${mayGo(data).indexOf(one) + 1}</kbd>`} <b>${one.responder === "desk" ? label("responder_kind", "desk") : one.name}</b> <span>${travel(one.travel_min)}</span> <span class="quiet">${kilometres(one.km)}</span>
        <span class=${`verdict ${one.verdict}`}>${label("verdict_now", one.verdict)}</span>
      </label>`)}
    <p class="quiet small">${t("about.note")}</p>
  </fieldset>
  ${row.kind !== "service_request" && html`<div class="beside-each-other">
    <${Pick} name="role" options=${ROLES.map((one) => [one, label("role", one)])} values=${values} set=${(_, value) => set({ role: value, skill: "" })} />
    ${data.skills?.length > 0 && html`<${Pick} name="skill" options=${data.skills.map((one) => [one, label("skill", one)])} values=${values} set=${(_, value) => set({ skill: value, role: "" })} />`}
  </div>
  ${isOther && html`<p class="quiet small">${t("dispatch.nearest")}</p>`}`}`;
}

/** The order whose responder was there, or of those who go the one that would be. */
function helper(data) {
  const going = (data?.legs ?? []).filter((leg) => ["social", "medical", "emergency", "service"].includes(leg.role) && ["accepted", "en_route", "arrived", "done"].includes(leg.state));
  return going.sort((a, b) => Boolean(b.arrived_at) - Boolean(a.arrived_at))[0] ?? null;
}

/** Was help there within the circle? After that many minutes from its order. */
function Circle({ leg, at, data }) {
  const minutes = (Date.parse(at) - Date.parse(leg.ordered_at)) / 60_000;
  const circle = data.circle_min ?? CIRCLE_MIN;
  if (!Number.isFinite(minutes)) return null;
  const isIn = minutes <= circle;
  return html`<span class=${`circle ${isIn ? "in" : "out"}`}>${t(isIn ? "resolve.in_circle" : "resolve.out_of_circle", { n: circle, minutes: Math.max(0, Math.round(minutes)) })}</span>`;
}

function Arrival({ data, values, set }) {
  const leg = helper(data);
  if (!leg) return null;
  const told = asLocal(leg.arrived_at);
  const shown = values.arrived ?? told;
  return html`<div class="arrival"><${When} name="arrived" values=${{ arrived: shown }} set=${set} />
      <span class="quiet">${leg.name}</span> ${shown && html`<${Circle} leg=${leg} at=${shown === told && leg.arrived_at ? leg.arrived_at : asInstant(shown)} data=${data} />`}</div>
    ${told && shown !== told && html`<${Text} name="arrived_why" required=${true} rows=${1} values=${values} set=${set} />`}`;
}

const isCorrected = (values, data) => values.arrived !== undefined && values.arrived !== asLocal(helper(data)?.arrived_at);

function Resolve(props) {
  const isLead = LEADS.has(role.value);
  return html`<${Missing} row=${props.row} data=${props.data} />
    <${Choice} name="outcome" required=${true} options=${OUTCOMES} keyed=${OUTCOMES} text=${(one) => label("outcome", one)} ...${props} />
    <${Text} name="note" rows=${2} ...${props} />
    <${Arrival} ...${props} />
    ${missingSteps(props.data).length > 0 && isLead && html`<${Text} name="override" rows=${1} ...${props} /><p class="quiet small">${t("resolve.override")}</p>`}`;
}

function checkResolve(values, data) {
  const isOverridden = LEADS.has(role.value) && said(values.override);
  if (missingSteps(data).length > 0 && !isOverridden) return "steps_missing";
  if (isOverridden && missingSteps(data).length > 0 && values.override.trim().length < LEAST_REASON) return "reason_too_short";
  if (!values.outcome) return "missing_outcome";
  if (!isCorrected(values, data)) return null;
  if (values.arrived && Date.parse(asInstant(values.arrived)) > now()) return "bad_arrived";
  return helper(data)?.arrived_at && (values.arrived_why ?? "").trim().length < LEAST_REASON ? "bad_arrived_why" : null;
}

/** Whom a complaint may be about: whoever was sent, and who had it in hand. */
function About(props) {
  const legs = new Map((props.data?.legs ?? []).map((leg) => [leg.responder, leg.name]));
  const owner = props.row.owner && props.row.owner !== me.value ? [[props.row.owner, props.row.owner]] : [];
  return html`<${Pick} name="about" options=${[...legs, ...owner]} ...${props} />`;
}

function CallBack(props) {
  const isLost = props.row.state !== "resolved"; // a lost call is called back: nobody is asked how content they are
  return html`${!isLost && html`<${Choice} name="satisfaction" required=${props.values.complaint !== true} options=${STARS} text=${(one) => t(`satisfaction.${one}`)} ...${props} />`}
    <${Text} name="note" rows=${2} required=${props.values.complaint === true} ...${props} />
    ${!isLost && html`<${Tick} name="complaint" text=${t("field.complaint")} ...${props} />
      ${props.values.complaint && html`<${About} ...${props} /><p class="quiet small">${t("complaint.explain")}</p>`}`}`;
}

const otherHotlines = (row) => (session.value?.hotlines ?? []).map((one) => one.number).filter((number) => number !== row.hotline);
function hotlineText(number) {
  const one = session.value?.hotlines?.find((other) => other.number === number);
  return [number, one?.name, one?.supplementary ? t("hand_over.supplementary") : ""].filter(Boolean).join(" ");
}

export const CARE_FORMS = {
  dispatch: {
    waits: true,
    fields: Dispatch,
    start: (data) => ({ responder: (data?.candidates_now ?? []).find((one) => one.verdict === "chosen" || one.verdict === "fits")?.responder }),
    digits: (data) => mayGo(data).map((one) => ({ responder: one.responder, role: "", skill: "" })),
    check: (values) => (values.responder || values.role || values.skill ? null : "missing_responder"),
    body: (values) => (values.skill ? { skill: values.skill } : values.role ? { role: values.role } : { responder: values.responder }),
  },
  note: {
    fields: (props) => html`<${Text} name="text" required=${true} ...${props} />`,
    check: (values) => (said(values.text) ? null : "missing_text"),
    body: (values) => ({ text: values.text }),
  },
  escalate: {
    fields: (props) => html`<${Text} name="reason" rows=${2} ...${props} />`,
    check: () => null,
    body: (values) => given({ reason: values.reason?.trim() }),
  },
  hand_over: {
    fields: (props) => html`<${Choice} name="to" required=${true} options=${otherHotlines(props.row)} keyed=${otherHotlines(props.row)} text=${hotlineText} ...${props} /><${Text} name="note" rows=${2} ...${props} /><p class="quiet small">${t("hand_over.explain")}</p>`,
    digits: (_, row) => otherHotlines(row).map((to) => ({ to })),
    check: (values) => (values.to ? null : "missing_to"),
    body: (values) => given({ to: values.to, note: values.note?.trim() }),
  },
  resolve: {
    waits: true,
    isStateful: true,
    fields: Resolve,
    digits: () => OUTCOMES.map((outcome) => ({ outcome })),
    check: checkResolve,
    body: (values, data) => given({
      outcome: values.outcome,
      note: values.note?.trim(),
      override: missingSteps(data).length > 0 && LEADS.has(role.value) ? values.override?.trim() : "",
      ...(isCorrected(values, data) && values.arrived ? { arrived: asInstant(values.arrived), arrived_why: values.arrived_why?.trim() } : {}),
    }),
  },
  call_back: {
    isStateful: true,
    fields: CallBack,
    digits: (_, row) => (row.state === "resolved" ? STARS.map((satisfaction) => ({ satisfaction })) : []),
    check: (values, data, row) =>
      values.complaint && !said(values.note) ? "missing_note" : !values.satisfaction && !values.complaint && row.state === "resolved" ? "missing_satisfaction" : null,
    body: (values, _, row) => given({
      satisfaction: row.state === "resolved" && values.satisfaction ? Number(values.satisfaction) : null,
      note: values.note?.trim(),
      complaint: row.state === "resolved" && values.complaint === true,
      about: values.complaint ? values.about : "",
    }),
  },
  reveal: {
    fields: (props) => html`<${Choice} name="reason" required=${true} options=${REASONS} keyed=${REASONS} text=${(one) => label("reveal_reason", one)} ...${props} /><p class="quiet small">${t("reveal.note")}</p>`,
    start: () => ({ reason: REASONS[0] }),
    digits: () => REASONS.map((reason) => ({ reason })),
    check: (values) => (values.reason ? null : "missing_reason"),
    body: (values) => ({ reason: values.reason }),
    done: (id, answer) => showNumbers(id, answer),
  },
  complain: {
    fields: (props) => html`<${Text} name="note" required=${true} ...${props} /><${About} ...${props} /><p class="quiet small">${t("complaint.explain")}</p>`,
    check: (values) => (said(values.note) ? null : "missing_note"),
    body: (values) => given({ note: values.note, about: values.about }),
  },
};
