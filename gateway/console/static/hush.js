// What this console hears, and quiet for a minute, in this window only.
import { computed, effect, signal } from "@preact/signals";
import { ended } from "./access.js";
import { heardCounts, heardRows, hush, settled, wanted } from "./alarm.js";
import { now } from "./clock.js";
import { link } from "./feed.js";
import { setting } from "./settings.js";
import { me, operators, queueCounter, role, rows, session } from "./store.js";

/** How loud, 0-1; level 1 has a floor (alarm.js). */
export const volume = setting("volume", 1, (value) => value >= 0 && value <= 1);

/** What alarm.js calls `hush`, or null. */
export const quiet = signal(null);
export const hushedUntil = computed(() => quiet.value?.until ?? null);

/** Are rows hidden here, and only counts known: a wallboard, a locked screen? */
export const isCounting = computed(() => role.value === "wall" || Boolean(session.value?.locked));

/** Does this console sound at all: somebody on duty at the desk, or a wallboard. */
const isEar = computed(() => role.value === "wall" || (me.value !== null && ["local", "operator", "supervisor"].includes(role.value)));

/** What waits and may sound here. */
export const heard = computed(() => {
  if (!isEar.value) return heardRows([]);
  return isCounting.value ? heardCounts(queueCounter.value?.raised) : heardRows(rows.value);
});

/** Does somebody's sound cover all that this console hears? Who listens to a part of it (or to an area above, which the page cannot tell) does not. */
const coversUs = (areas = []) => areas.length === 0 || (ours.value.length > 0 && ours.value.every((area) => areas.includes(area)));
const ours = computed(() => session.value?.account?.areas ?? []);

/** A supervisor joins in later, unless no operator with sound is there for all that he hears: an alarm of another area would be nobody's. */
const isSecond = computed(() => role.value === "supervisor" && operators.value.some((one) => one.name !== me.value && one.sound && one.role !== "supervisor" && coversUs(one.areas)));

/** What must sound at this moment. */
export function hearNow() {
  const want = wanted({ heard: heard.value, linkLost: ended.value || (isEar.value && link.value.state === "lost"), hush: quiet.value, joins: isSecond.value, now: now() });
  return { want, now: now(), volume: volume.value };
}

export function hushNow() {
  quiet.value = hush(heard.value, now());
}

effect(() => { quiet.value = settled(quiet.peek(), heard.value); });
