// What the operator asks for: POST, at most 5 s, one idempotency key a wish. The page never claims a success it did not hear.
import { signal } from "@preact/signals";
import { clockTime, now } from "./clock.js";
import { label, reasonText, t } from "./i18n.js";
import { me, receiveRow, session, state } from "./store.js";

const TIMEOUT_MS = 5000;
const OPTIMISTIC_MS = 2000; // without an answer by then the row shows its real state again (rule 2)
const RELEASE_WITHIN_MS = 30_000;
const NOTICE_MS = 10_000;

/** Wishes under way, by incident: {action, phase: sent | slow | unconfirmed, key}. */
export const pending = signal({});
/** The last things the page has to say: [{id, text(), kind: info | warning, at}], newest first. Functions: the language may be switched under them. */
export const notices = signal([]);

const takenAt = new Map();
let noticeNumber = 0;

export function notice(text, kind = "info") {
  noticeNumber += 1;
  const id = noticeNumber;
  notices.value = [{ id, text, kind, at: clockTime(now()) }, ...notices.value].slice(0, 5);
  setTimeout(() => { notices.value = notices.value.filter((one) => one.id !== id); }, NOTICE_MS);
}

/** 16 random bytes; crypto.randomUUID is missing on plain http. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

const DUTY = "duty.name";
const DESK = "duty.extension"; // kept by the browser: the telephone stands where it stands

/** The extension of this desk's telephone; "" for none. */
export function deskExtension() {
  try {
    return localStorage.getItem(DESK) ?? "";
  } catch {
    return ""; // a browser that keeps nothing
  }
}

/** Read the session; a server that was started again is told once more who is on duty. */
export async function readSession() {
  const answer = await fetch("/api/v1/session");
  const fresh = await answer.json();
  const name = sessionStorage.getItem(DUTY);
  const isKnown = fresh.name === null && name && (await setDuty(name, deskExtension(), fresh.csrf)).status === 200;
  if (!isKnown) session.value = fresh;
  return session.value;
}

/** Go on duty under a name, or leave with null. Returns the answer of the server. */
export async function setDuty(name, extension = deskExtension(), csrf = session.value?.csrf) {
  if (name !== sessionStorage.getItem(DUTY)) sessionStorage.clear(); // drafts go with the person
  if (name !== null) sessionStorage.setItem(DUTY, name);
  const answer = await post("/api/v1/duty", { name, extension: extension || null }, newKey(), csrf);
  if (answer.status === 200) {
    session.value = answer.body;
    try {
      localStorage.setItem(DESK, extension);
    } catch {
      // it is asked for again
    }
  }
  else sessionStorage.removeItem(DUTY);
  return answer;
}

async function post(path, body, key, csrf = session.value?.csrf) {
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRF": csrf ?? "", "Idempotency-Key": key },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return { status: answer.status, body: await answer.json() };
  } catch {
    return { status: 0, body: { reason: "no_answer" } };
  }
}

function setPending(id, wish) {
  const next = { ...pending.value };
  if (wish) next[id] = wish;
  else delete next[id];
  pending.value = next;
}

/**
 * Ask for an action on an incident. Returns {ok, status, body}. What went wrong is said in a notice, in the reader's words;
 * the row that came with the answer is shown at once.
 */
export async function send(id, action, body = {}) {
  const earlier = pending.value[id];
  if (earlier && earlier.action === action && earlier.phase !== "unconfirmed") return { ok: false, status: 0, body: { reason: "under_way" } };
  const key = earlier?.action === action ? earlier.key : newKey();
  const wish = { action, key, phase: "sent" };
  setPending(id, wish);
  const slow = setTimeout(() => setPending(id, { ...wish, phase: "slow" }), OPTIMISTIC_MS);
  let answer = await post(`/api/v1/incidents/${id}/${action}`, body, key);
  if (answer.status === 403) {
    await readSession().catch(() => undefined);
    answer = await post(`/api/v1/incidents/${id}/${action}`, body, key);
  }
  clearTimeout(slow);
  setPending(id, answer.status === 0 ? { ...wish, phase: "unconfirmed" } : null);
  receiveRow(answer.body.incident);
  const ok = answer.status === 200;
  if (!ok) notice(() => `${id} ${refusal(answer)}`, "warning");
  return { ok, ...answer };
}

/** Ask, once more after a new session when the server has forgotten ours; says in a notice what went wrong. Returns the answer, with `ok`. */
async function asked(id, path, body) {
  const key = newKey();
  let answer = await post(path, body, key);
  if (answer.status === 403 && answer.body.reason !== "not_owner" && answer.body.reason !== "not_your_call") {
    await readSession().catch(() => undefined);
    answer = await post(path, body, key);
  }
  const ok = answer.status === 200 || answer.status === 202;
  if (!ok) notice(() => `${id} ${refusal(answer)}`, "warning");
  return { ok, ...answer };
}

/** Ring somebody about an incident, by reference; what comes of it is told by the incident itself. */
export const dial = (id, contact) => asked(id, `/api/v1/incidents/${id}/dial`, { contact });

/** End what one has dialled. */
export const hangUp = (id, key) => asked(id, `/api/v1/calls/${encodeURIComponent(key)}/hang_up`, {});

function refusal({ body }) {
  const facts = { ...body, at: body.at ? clockTime(body.at) : "", by: body.by ?? "" };
  return reasonText(facts);
}

/** Take charge. Again on one's own incident: nothing. */
export async function acknowledge(id) {
  const row = state.incidents.get(id);
  if (!row) return;
  if (row.state !== "raised") {
    notice(() => (row.owner ? t("notice.taken_by", { id, by: row.owner }) : `${id} ${label("state", row.state)}`));
    return;
  }
  const answer = await send(id, "acknowledge");
  if (answer.ok) takenAt.set(id, now());
}

/** Give back what was taken by mistake, within 30 s. */
export async function release(id) {
  const at = takenAt.get(id);
  if (at === undefined || now() - at > RELEASE_WITHIN_MS) {
    notice(() => `${id} ${t("reason.too_late")}`, "warning");
    return;
  }
  const answer = await send(id, "release");
  if (answer.ok) takenAt.delete(id);
}

/** The row as it should look while a wish is under way: taken by me, until the server has spoken. */
export function shown(row) {
  const wish = pending.value[row.id];
  if (wish?.action === "acknowledge" && wish.phase === "sent" && row.state === "raised") return { ...row, state: "acknowledged", owner: me.value };
  return row;
}
