// The server's clock, carried on the page's monotonic timer, and how times are written. Clocks never trust the PC's date.
import { signal } from "@preact/signals";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

let server = Date.now();
let heard = performance.now();

/** Milliseconds since 1970 by the server's clock; moves once a second, for everything that counts down. */
export const second = signal(server);

/** Set the clock from a frame's `now`. */
export function hear(iso) {
  const at = Date.parse(iso);
  if (Number.isNaN(at)) return;
  server = at;
  heard = performance.now();
}

/** Milliseconds since 1970, server time. */
export function now() {
  return server + (performance.now() - heard);
}

export function startClock() {
  const tick = () => { second.value = Math.floor(now() / SECOND) * SECOND; };
  tick();
  setInterval(tick, 500); // twice a second, so that no displayed second is skipped
}

// sv-SE writes ISO order: 2026-11-21 14:03:27. The zone is fixed: the district's, not the PC's.
const writer = new Intl.DateTimeFormat("sv-SE", { timeZone: "Asia/Shanghai", dateStyle: "short", timeStyle: "medium" });

/** "14:03:27", with the day in front ("11-20 14:03:27") when it is not today's. */
export function clockTime(when, today = now()) {
  const at = typeof when === "number" ? when : Date.parse(when);
  if (!Number.isFinite(at)) return "";
  const [date, time] = writer.format(at).split(" ");
  return date === writer.format(today).split(" ")[0] ? time : `${date.slice(5)} ${time}`;
}

/** Time left until `at`: "00:12", "-01:50" when overdue, "1h05" beyond an hour, "2d" beyond two days. */
export function countdown(at, from) {
  const left = at - from;
  const sign = left < 0 ? "-" : "";
  const size = Math.abs(left);
  if (size >= 2 * DAY) return `${sign}${Math.floor(size / DAY)}d`;
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(size / HOUR);
  const minutes = two(Math.floor((size % HOUR) / MINUTE));
  return sign + (hours ? `${hours}h${minutes}` : `${minutes}:${two(Math.floor((size % MINUTE) / SECOND))}`);
}
