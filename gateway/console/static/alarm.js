// What must be heard now: a pure function of the store, so that nothing is lost on reload, reconnect or in a throttled tab.
import { RANK } from "./store.js";

export const HUSH_S = 60; // own ears only, never longer (console design, 5)
const LOUDER_AFTER_S = 30;
const EVERY_S = { 1: 5, 2: 15, link: 10 };
const PULSE_S = 0.15;
const GAP_S = 0.1;

/** One cry, as a name: a new press of the same incident is a new cry. */
const cryOf = (row) => `${row.id}#${row.cries}`;

/** Quiet for a minute, for what sounds now; a level 1 that is not among it breaks the quiet. */
export function hush(incidents, now) {
  const known = [];
  for (const row of incidents) if (row.state === "raised" && row.severity === "critical") known.push(cryOf(row));
  return { until: now + HUSH_S * 1000, known };
}

/**
 * What should sound: {level: 0-3, louder, chimes, link, hushed}. Level 0 is silence.
 * incidents: rows of the store; linkLost: boolean; hush: as made by hush() or null; now: server milliseconds.
 */
export function wanted({ incidents, linkLost = false, hush: quiet = null, now }) {
  let level = 0;
  let oldest = Infinity;
  const chimes = [];
  const known = new Set(quiet?.known ?? []);
  let broken = false;
  for (const row of incidents) {
    if (row.state !== "raised") continue;
    const rank = RANK[row.severity] ?? 5;
    if (rank === 1) {
      if (!known.has(cryOf(row))) broken = true;
      oldest = Math.min(oldest, Date.parse(row.opened_at));
    }
    if (rank === 3) chimes.push(cryOf(row));
    if (rank <= 3 && (level === 0 || rank < level)) level = rank;
  }
  const hushed = quiet !== null && now < quiet.until && !broken;
  return { level: hushed ? 0 : level, louder: !hushed && level === 1 && now - oldest >= LOUDER_AFTER_S * 1000, chimes: hushed ? [] : chimes, link: linkLost, hushed };
}

/** Nothing was sounded yet. */
export function silence() {
  return { 1: -Infinity, 2: -Infinity, link: -Infinity, chimed: new Set() };
}

/**
 * The tones to schedule now: [{at, length, hz, harmonics, gain}], seconds from now; and the memory to pass next time.
 * Tones follow only from what is wanted and when it was last sounded.
 */
export function plan(want, memory, now) {
  const next = { ...memory, chimed: new Set(want.chimes.filter((cry) => memory.chimed.has(cry))) };
  const tones = [];
  const isDue = (name) => now - memory[name] >= EVERY_S[name] * 1000;
  if (want.level === 1 && isDue(1)) {
    tones.push(...pulses(0, want.louder ? 1 : 0.6));
    next[1] = now;
  } else if (want.level === 2 && isDue(2)) {
    for (let i = 0; i < 3; i += 1) tones.push({ at: i * 0.3, length: 0.18, hz: 523, harmonics: 3, gain: 0.5 });
    next[2] = now;
  }
  const fresh = want.chimes.filter((cry) => !memory.chimed.has(cry));
  for (const cry of fresh) next.chimed.add(cry);
  if (fresh.length && want.level === 3) tones.push({ at: 0, length: 0.5, hz: 440, harmonics: 2, gain: 0.4 });
  if (want.link && isDue("link")) {
    const start = tones.length ? 3 : 0; // after the alarm, never over it
    tones.push({ at: start, length: 0.35, hz: 392, harmonics: 1, gain: 0.5 }, { at: start + 0.4, length: 0.5, hz: 262, harmonics: 1, gain: 0.5 });
    next.link = now;
  }
  return { tones, memory: next };
}

/** Level 1: ten pulses in two groups of 3 + 2. */
function pulses(start, gain) {
  const tones = [];
  let at = start;
  for (let group = 0; group < 2; group += 1) {
    for (let i = 0; i < 5; i += 1) {
      tones.push({ at, length: PULSE_S, hz: 660, harmonics: 5, gain });
      at += PULSE_S + GAP_S + (i === 2 ? 0.25 : 0);
    }
    at += 0.6;
  }
  return tones;
}

/** The test tone of going on duty. */
export const TEST_TONES = [{ at: 0, length: 0.15, hz: 660, harmonics: 5, gain: 0.6 }, { at: 0.25, length: 0.15, hz: 660, harmonics: 5, gain: 0.6 }];
