// Small parts that every view uses: templates, times that count down, severity marks.
import htm from "htm";
import { h, render } from "preact";
import { clockTime, countdown, second } from "./clock.js";
import { label, language, t } from "./i18n.js";
import { state } from "./store.js";

export const html = htm.bind(h);

/** Fill the page, in place of what stood there in case we never started. */
export function fill(content) {
  const place = document.getElementById("app");
  place.replaceChildren();
  render(content, place);
}

/** Shape first, so that no meaning hangs on colour alone. */
export const MARKS = { critical: "▲", major: "◆", minor: "●", warning: "○", none: "·" };

export function Mark({ severity, withText = false }) {
  const text = label("severity", severity);
  return html`<span class=${`mark ${severity}`} title=${text}>${MARKS[severity] ?? "·"}${withText ? ` ${text}` : html`<span class="unseen">${text}</span>`}</span>`;
}

/** Time left until `at` (milliseconds), red when overdue; the clock time is in the title. */
export function Countdown({ at }) {
  if (!Number.isFinite(at)) return html`<span class="quiet">–</span>`;
  const from = second.value;
  return html`<time class=${at < from ? "due over" : "due"} title=${clockTime(at)}>${countdown(at, from)}</time>`;
}

/** Time gone since `at` (ISO). */
export function Since({ at }) {
  return html`<time class="due" title=${clockTime(at)}>${countdown(second.value, Date.parse(at))}</time>`;
}

export function Time({ at }) {
  return html`<time datetime=${at} title=${at}>${clockTime(at)}</time>`;
}

const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86_400;

/** A stretch of time in words: 40 s, 12 min, 3 h 05 min, 2 days. */
export function lasted(seconds) {
  const size = Math.max(0, Math.floor(seconds));
  if (size < MINUTE_S) return t("lasted.seconds", { n: size });
  if (size < HOUR_S) return t("lasted.minutes", { n: Math.floor(size / MINUTE_S) });
  if (size < 2 * DAY_S) return t("lasted.hours", { h: Math.floor(size / HOUR_S), m: String(Math.floor((size % HOUR_S) / MINUTE_S)).padStart(2, "0") });
  return t("lasted.days", { n: Math.floor(size / DAY_S) });
}

/** How long ago (ISO): in words, the clock time beside it. Null: never. */
export function Ago({ at }) {
  if (!at) return html`<span class="quiet">${t("lasted.never")}</span>`;
  return html`<span class="ago">${t("lasted.ago", { time: lasted((second.value - Date.parse(at)) / 1000) })} <time class="quiet" datetime=${at}>${clockTime(at)}</time></span>`;
}

/** "≈ 8 min": always marked as an estimate. */
export function travel(minutes) {
  return minutes === null || minutes === undefined ? "–" : t("about.minutes", { n: Math.max(1, Math.round(minutes)) });
}

export function kilometres(km) {
  return km === null || km === undefined ? "" : `${km < 10 ? km.toFixed(1) : Math.round(km)} km`;
}

/** What kind of responder it is, as this place calls it. */
export function kindText(one) {
  const own = one.kind_name;
  return (typeof own === "string" ? own : own?.[language.value]) || label("responder_kind", one.kind);
}

/** What a service is called: here, as this place has it; to other readers by its code. */
export const serviceText = (code, name) => (language.value === "zh-CN" ? name || label("service", code) : label("service", code));

/** Of the gateway's own books, which are no line: what they are about in words, and the area or point after the colon. Null for a line. */
function ownBook(line) {
  const [, name, , of] = line?.match(/^(console|self_test|spare)(:(.*))?$/) ?? [];
  return name ? { text: t(`own_book.${name}`), of } : null;
}

/** Where it is: of a line or device that stands nowhere, the line. */
export function where(row) {
  const own = ownBook(row.line);
  if (own) return row.place ?? own.of ?? t("ops.everywhere");
  return row.place ?? (row.caller ? callerText(row.caller) : null) ?? (row.line ? t("row.line", { line: row.device ? row.line : state.lines.get(row.line)?.codec ?? "" }) : null);
}

/** The caller's number as the server shows it: masked, withheld by the caller, or none. */
export function callerText(caller) {
  return caller === "restricted" ? t("call.restricted") : caller ?? t("call.withheld");
}

export function risks(list) {
  return (list ?? []).map((risk) => label("risk", risk)).join(" ");
}

/** The name; a technical incident says which device or line, an unknown person that he is unknown, a shared number says how many. `style`: person, or row where there is little room. */
export function who(row, style = "person") {
  if (row.name) return row.name;
  if (row.line) return ownBook(row.line)?.text ?? row.device ?? row.line;
  if (row.candidates) return t(`${style}.one_of`, { n: row.candidates });
  return t(`${style}.unknown`);
}
