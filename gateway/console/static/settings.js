// What somebody has set for themselves, kept by the browser for each name; where nothing can be kept, for this page only.
import { computed, effect, signal } from "@preact/signals";
import { session } from "./store.js";

const who = computed(() => session.value?.name ?? session.value?.account?.name ?? "");
const keyFor = (name) => `setting:${who.value}:${name}`;

/** A signal that is remembered for the one who is here. `fits(value)`: is what was kept still a value of it? */
export function setting(name, start, fits = (value) => typeof value === typeof start) {
  const value = signal(start);
  let owner = null;
  effect(() => {
    const key = keyFor(name);
    if (owner !== key) {
      owner = key;
      value.value = recall(key, start, fits);
    } else {
      keep(key, value.value);
    }
    value.value; // also when it was only just recalled: its changes are kept
  });
  return value;
}

function recall(key, start, fits) {
  try {
    const kept = JSON.parse(localStorage.getItem(key));
    return kept !== null && fits(kept) ? kept : start;
  } catch {
    return start;
  }
}

function keep(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // then for this page only
  }
}

/** Do keys that type something (letters, digits, space, /) act at all? (WCAG 2.1.4) */
export const letters = setting("letters", true);
