// Quiet for a minute, in this window only.
import { computed, signal } from "@preact/signals";
import { hush } from "./alarm.js";
import { now } from "./clock.js";
import { rows } from "./store.js";

/** What alarm.js calls `hush`, or null. */
export const quiet = signal(null);
export const hushedUntil = computed(() => quiet.value?.until ?? null);

export function hushNow() {
  quiet.value = hush(rows.value, now());
}
