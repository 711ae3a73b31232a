// Questions about what was: asked by POST, because what is looked for must not stand in an address. The last question wins.
import { signal } from "@preact/signals";
import { clockTime, now } from "./clock.js";
import { readSession } from "./commands.js";
import { bodyOf, exchange } from "./exchange.js";

/** POST; the body of the answer. Throws an Error whose text says why not, in the reader's words; `reason`: the server's word. */
export async function postJson(path, body, { stop, patience } = {}) {
  let answer = await exchange(path, { body, stop, patience });
  if (answer.status === 403 && answer.body.reason === "csrf") {
    await readSession().catch(() => undefined);
    answer = await exchange(path, { body, stop, patience });
  }
  return bodyOf(answer);
}

/** A question with pages: {data, at, error, busy} in a signal; ask(path, body, merge); stop() gives it up. */
export function pastQuestion() {
  const state = signal({ data: null, at: "", error: "", busy: false });
  let underWay = null;
  async function ask(path, body, merge = (data) => data) {
    underWay?.abort();
    const mine = new AbortController();
    underWay = mine;
    state.value = { ...state.value, busy: true, error: "" };
    try {
      const data = await postJson(path, body, { stop: mine.signal });
      if (underWay === mine) state.value = { data: merge(data, state.value.data), at: clockTime(now()), error: "", busy: false };
    } catch (error) {
      if (underWay === mine) state.value = { ...state.value, error: error.name === "AbortError" ? "" : error.message, busy: false };
    }
  }
  const stop = () => underWay?.abort();
  return { state, ask, stop };
}
