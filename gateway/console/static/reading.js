// What a view reads from the server when it is asked for: the answer, or that it could not be read; the last question wins.
import { signal } from "@preact/signals";
import { clockTime, now } from "./clock.js";
import { bodyOf, exchange } from "./exchange.js";

/** Read JSON. Throws an Error whose text says why not, in the reader's words. */
export const readJson = async (path) => bodyOf(await exchange(path));

/** A question that is asked again and again: {data, at, error, busy} in a signal, and ask(path, merge). */
export function question() {
  const state = signal({ data: null, at: "", error: "", busy: false });
  let number = 0;
  async function ask(path, merge = (data) => data) {
    number += 1;
    const mine = number;
    state.value = { ...state.value, busy: true };
    try {
      const data = await readJson(path);
      if (mine === number) state.value = { data: merge(data, state.value.data), at: clockTime(now()), error: "", busy: false };
      return true;
    } catch (error) {
      if (mine === number) state.value = { ...state.value, error: error.message, busy: false };
      return error.reason ?? false;
    }
  }
  return { state, ask };
}
