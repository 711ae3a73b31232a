// What must be heard now: a pure function of the store, so that nothing is lost on reload, reconnect or in a throttled tab.
// Two ways to see the same: `heardRows` from rows, `heardCounts` from the counters of the server where rows are hidden (a locked screen, a wallboard).
import { RANK } from "./store.js";

export const HUSH_S = 60; // own ears only, never longer (console design, 5)
const LOUDER_AFTER_S = 30;
const JOIN_AFTER_S = 30; // a supervisor joins in when nobody has taken a level 1 for so long
const EVERY_S = { 1: 5, 2: 15, link: 10 };
const PULSE_S = 0.15;
const GAP_S = 0.1;
const FLOOR = { 1: 0.6, other: 0.15 }; // the volume that somebody sets never goes below: a level 1 is heard in any case
const CHIMES_LIMIT = 200; // names made of a counter: more than that many level 3 at once is a flood

/** One cry, as a name: a new press of the same incident is a new cry. */
const cryOf = (row) => `${row.id}#${row.cries}`;

/**
 * What waits and may sound, of rows: {1: {count, oldest, cries: [names]}, 2: …, 3: …}. Nothing on the shelf, nothing taken.
 * `oldest`: milliseconds since when the oldest of the level waits.
 */
export function heardRows(incidents) {
  const heard = nobody();
  for (const row of incidents) {
    const level = heard[RANK[row.severity] ?? 5];
    if (row.state !== "raised" || row.shelf || !level) continue;
    level.count += 1;
    level.oldest = Math.min(level.oldest, Date.parse(row.opened_at));
    level.cries.push(cryOf(row));
  }
  return heard;
}

/** The same of counter:queue.raised: {severity: {count, oldest, cries}}. The names are numbers: one more cry is a new name. */
export function heardCounts(raised) {
  const heard = nobody();
  for (const [severity, { count, oldest, cries }] of Object.entries(raised ?? {})) {
    const level = heard[RANK[severity]];
    if (!level || count === 0) continue;
    level.count = count;
    level.oldest = Date.parse(oldest);
    level.cries = Array.from({ length: Math.min(Math.max(cries, count), CHIMES_LIMIT) }, (_, i) => `${severity}#${i + 1}`);
  }
  return heard;
}

const nobody = () => Object.fromEntries([1, 2, 3].map((level) => [level, { count: 0, oldest: Infinity, cries: [] }]));

/** Quiet for a minute, for what sounds now; a level 1 that is not among it breaks the quiet. */
export function hush(heard, now) {
  return { until: now + HUSH_S * 1000, known: [...heard[1].cries] };
}

/** The same quiet, knowing only what still waits: what was taken and cries again is new. */
export function settled(quiet, heard) {
  if (quiet === null) return null;
  const known = quiet.known.filter((cry) => heard[1].cries.includes(cry));
  return known.length === quiet.known.length ? quiet : { ...quiet, known };
}

/**
 * What should sound: {level: 0-3, louder, chimes, link, hushed}. Level 0 is silence.
 * heard: of heardRows() or heardCounts(); linkLost: boolean; hush: as made by hush() or null; now: server milliseconds;
 * joins: somebody else hears it first, this console joins in for a level 1 after 30 s (a supervisor beside operators).
 */
export function wanted({ heard, linkLost = false, hush: quiet = null, joins = false, now }) {
  const waitsLong = (level, seconds) => heard[level].count > 0 && now - heard[level].oldest >= seconds * 1000;
  const level = [1, 2, 3].find((one) => (joins ? one === 1 && waitsLong(1, JOIN_AFTER_S) : heard[one].count > 0)) ?? 0;
  const known = new Set(quiet?.known ?? []);
  const isBroken = heard[1].cries.some((cry) => !known.has(cry));
  const hushed = quiet !== null && now < quiet.until && !isBroken;
  return {
    level: hushed ? 0 : level,
    louder: !hushed && level === 1 && waitsLong(1, LOUDER_AFTER_S),
    chimes: hushed || joins ? [] : heard[3].cries,
    link: linkLost,
    hushed,
  };
}

/** Nothing was sounded yet. */
export function silence() {
  return { 1: -Infinity, 2: -Infinity, link: -Infinity, chimed: new Set() };
}

/**
 * The tones to schedule now: [{at, length, hz, harmonics, gain}], seconds from now; and the memory to pass next time.
 * Tones follow only from what is wanted, when it was last sounded, and how loud somebody wants it (`volume`, 0-1).
 */
export function plan(want, memory, now, volume = 1) {
  const next = { ...memory, chimed: new Set(want.chimes.filter((cry) => memory.chimed.has(cry))) };
  const tones = [];
  const quieter = Math.max(volume, FLOOR.other);
  const isDue = (name) => now - memory[name] >= EVERY_S[name] * 1000;
  if (want.level === 1 && isDue(1)) {
    tones.push(...pulses(0, (want.louder ? 1 : 0.6) * Math.max(volume, FLOOR[1])));
    next[1] = now;
  } else if (want.level === 2 && isDue(2)) {
    for (let i = 0; i < 3; i += 1) tones.push({ at: i * 0.3, length: 0.18, hz: 523, harmonics: 3, gain: 0.5 * quieter });
    next[2] = now;
  }
  const fresh = want.chimes.filter((cry) => !memory.chimed.has(cry));
  for (const cry of fresh) next.chimed.add(cry);
  if (fresh.length && want.level === 3) tones.push({ at: 0, length: 0.5, hz: 440, harmonics: 2, gain: 0.4 * quieter });
  if (want.link && isDue("link")) {
    const start = tones.length ? 3 : 0; // after the alarm, never over it
    tones.push({ at: start, length: 0.35, hz: 392, harmonics: 1, gain: 0.5 * quieter }, { at: start + 0.4, length: 0.5, hz: 262, harmonics: 1, gain: 0.5 * quieter });
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

/**
 * Which of the windows of one browser sounds? The one of the smallest name, among those that sound at least as urgently: another that
 * is hushed, or only listens to less, silences nobody. others: [[name, {level, link}]] heard lately; want: what this one would sound.
 */
export function isOurs(want, name, others) {
  const covers = (other) => (want.level === 0 || (other.level > 0 && other.level <= want.level)) && (!want.link || other.link);
  return !others.some(([other, theirs]) => other < name && covers(theirs));
}

/** The test tone of going on duty. */
export const TEST_TONES = [{ at: 0, length: 0.15, hz: 660, harmonics: 5, gain: 0.6 }, { at: 0.25, length: 0.15, hz: 660, harmonics: 5, gain: 0.6 }];
