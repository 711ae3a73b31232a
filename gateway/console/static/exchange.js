// One question to the server and its answer: JSON both ways, given up after a time. Reading, what was and commands all ask by this.
import { reasonText } from "./i18n.js";
import { session } from "./store.js";

const PATIENCE_MS = 8000;

/**
 * {status, body} of the answer; status 0 and reason no_answer where none came. A body makes it a POST of our own page, a key one that is done once.
 * stop: the signal of whoever may give it up, whose AbortError is thrown on.
 */
export async function exchange(path, { body, key, csrf = session.value?.csrf, stop, patience = PATIENCE_MS } = {}) {
  const headers = { "Content-Type": "application/json", "X-CSRF": csrf ?? "", ...(key ? { "Idempotency-Key": key } : {}) };
  try {
    const answer = await fetch(path, { signal: stop ?? AbortSignal.timeout(patience), ...(body === undefined ? {} : { method: "POST", headers, body: JSON.stringify(body) }) });
    return { status: answer.status, body: await answer.json() };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { status: 0, body: { reason: "no_answer" } };
  }
}

/** The body of a success. Throws an Error whose text says why it was none, in the reader's words; `reason`: the server's word. */
export function bodyOf({ status, body }) {
  if (status >= 200 && status < 300) return body;
  throw Object.assign(new Error(reasonText(body)), { reason: body.reason });
}
