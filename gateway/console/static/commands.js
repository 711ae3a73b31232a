// What the operator asks for: POST, at most 5 s, one idempotency key a wish. The page never claims a success it did not hear.
import { effect, signal } from "@preact/signals";
import { clockTime, now } from "./clock.js";
import { exchange } from "./exchange.js";
import { label, reasonText, t } from "./i18n.js";
import { closeForm, dropDraft, form } from "./work.js";
import { incidentsChanged, me, receiveRow, rowOf, session } from "./store.js";

const TIMEOUT_MS = 5000;
const OPTIMISTIC_MS = 2000; // without an answer by then the row shows its real state again (rule 2)
const RELEASE_WITHIN_MS = 30_000;
const NOTICE_MS = 10_000;

/** Wishes under way, by incident: {action, body, phase: sent | slow | unconfirmed, key}. */
export const pending = signal({});
/** The last things the page has to say: [{id, text(), kind: info | warning, at}], newest first. Functions: the language may be switched under them. */
export const notices = signal([]);

const takenAt = new Map();
const taking = new Map(); // acknowledgements under way
const AFTER_TAKING = new Set(["resolve", "hand_over", "hold", "handle", "reveal", "release"]); // what the server does only for who has it in hand
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
const LOGIN = "login"; // whose drafts this window holds; a log-in that has ended by itself leaves them to the same account
const DESK = "duty.extension"; // kept by the browser: the telephone stands where it stands

/** The extension of this desk's telephone; "" for none. */
export function deskExtension() {
  try {
    return localStorage.getItem(DESK) ?? "";
  } catch {
    return ""; // a browser that keeps nothing
  }
}

/** Read the session; a server that was started again and knows no accounts is told once more who is on duty. */
export async function readSession() {
  let before;
  let fresh;
  do { // whoever has logged in, locked or left meanwhile knows better than an answer that was on its way
    before = session.peek();
    const answer = await fetch("/api/v1/session");
    fresh = await answer.json();
  } while (session.peek() !== before);
  const name = sessionStorage.getItem(DUTY);
  const isKnown = !fresh.accounts && fresh.name === null && name && (await setDuty(name, deskExtension(), fresh.csrf)).status === 200;
  if (!isKnown) session.value = fresh;
  return session.value;
}

/** Drafts go with the person: this window belongs to an account from now on, "" for none. */
export function belongTo(login) {
  if ((sessionStorage.getItem(LOGIN) ?? "") === login) return;
  sessionStorage.clear();
  sessionStorage.setItem(LOGIN, login);
}

/** Go on duty under a name, or leave with null. Returns the answer of the server. */
export async function setDuty(name, extension = deskExtension(), csrf = session.value?.csrf) {
  if (name !== sessionStorage.getItem(DUTY)) { // drafts go with the person
    const login = sessionStorage.getItem(LOGIN);
    sessionStorage.clear();
    if (login !== null) sessionStorage.setItem(LOGIN, login);
  }
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

export const post = (path, body, key, csrf) => exchange(path, { body, key, csrf, patience: TIMEOUT_MS });

function setPending(id, wish) {
  const next = { ...pending.value };
  if (wish) next[id] = wish;
  else delete next[id];
  pending.value = next;
}

/**
 * Ask for an action on an incident. Returns {ok, status, body}. What went wrong is said in a notice, in the reader's words (isQuiet: the
 * caller says it); the row that came with the answer is shown at once.
 */
export async function send(id, action, body = {}, { isQuiet = false } = {}) {
  if (AFTER_TAKING.has(action)) await taking.get(id);
  const earlier = pending.value[id];
  if (earlier && earlier.action === action && earlier.phase !== "unconfirmed") return { ok: false, status: 0, body: { reason: "under_way" } };
  if (earlier?.action === "acknowledge" && action !== "acknowledge" && earlier.phase === "unconfirmed") { // that click comes first, or it would be forgotten
    const first = await send(id, "acknowledge", earlier.body, { isQuiet });
    if (first.status === 0) return first;
  }
  const isSame = earlier?.action === action && JSON.stringify(earlier.body) === JSON.stringify(body); // other words are another wish: the old key would swallow them
  const key = isSame ? earlier.key : newKey();
  const wish = { action, body, key, phase: "sent" };
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
  if (ok && action === "acknowledge") takenAt.set(id, now());
  if (!ok && !isQuiet) notice(() => `${id} ${refusal(answer)}`, "warning");
  return { ok, ...answer };
}

/** Ask once more for what nobody has confirmed: the same wish by its key, so that it is done once. */
export async function retry(id) {
  const wish = pending.value[id];
  if (wish?.phase !== "unconfirmed") return;
  const answer = await send(id, wish.action, wish.body);
  if (!answer.ok) return;
  dropDraft(id, wish.action); // the server has the text now: the form that still stands there would send it twice
  if (form.value?.incident === id && form.value.name === wish.action) closeForm();
}

/** The answer to an acknowledgement was lost, but the feed says who has it now: nothing is open any more. */
effect(() => {
  incidentsChanged.value;
  for (const [id, wish] of Object.entries(pending.peek())) {
    const row = rowOf(id);
    if (wish.phase !== "unconfirmed" || wish.action !== "acknowledge" || !row || row.state === "raised") continue;
    setPending(id, null);
    if (row.owner !== null && row.owner !== me.peek()) notice(() => t("notice.taken_by", { id, by: row.owner }), "warning");
  }
});

/** Ask for something that is no command on an incident. `name` is what a refusal is about. */
export const ask = (name, path, body) => asked(name, path, Object.fromEntries(Object.entries(body).filter(([, value]) => value !== "" && value !== null && value !== undefined)));

/** Rule about something ("aid/lost/station-1", "providers/clean-home/freeze"); an empty value lifts it, so nothing is left out here. */
export const rule = (name, what, body) => asked(name, `/api/v1/${what}`, body);

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

/** Have a ringing call sent to one's own telephone. */
export const answerCall = (name, key) => asked(name, `/api/v1/calls/${encodeURIComponent(key)}/answer`, {});

/** End what one has dialled. */
export const hangUp = (id, key) => asked(id, `/api/v1/calls/${encodeURIComponent(key)}/hang_up`, {});

/** Announce that a person is away ({by, name, note, until}), or, with null, that it is over. */
export function absence(person, name, wish) {
  const path = `/api/v1/watch/${encodeURIComponent(person)}/${wish ? "absence" : "absence_over"}`;
  return asked(name, path, wish ? Object.fromEntries(Object.entries(wish).filter(([, value]) => value)) : {});
}

function refusal({ body }) {
  const steps = Array.isArray(body.steps) ? body.steps.map((step) => label("step", step)).join(", ") : "";
  const facts = { ...body, at: body.at ? clockTime(body.at) : "", latest: body.latest ? clockTime(body.latest) : "", by: body.by ?? "", state: label("state", body.state), steps };
  return reasonText(facts);
}

/** What an answer that was no success says, in the reader's words. */
export const refusalText = refusal;

/** Take charge. Again on one's own incident: nothing. */
export async function acknowledge(id) {
  const row = rowOf(id);
  if (!row) return;
  if (pending.value[id]?.phase === "unconfirmed" && pending.value[id].action === "acknowledge") {
    await retry(id);
    return;
  }
  if (row.state !== "raised") {
    notice(() => (row.owner ? t("notice.taken_by", { id, by: row.owner }) : `${id} ${label("state", row.state)}`));
    return;
  }
  const asked = send(id, "acknowledge");
  taking.set(id, asked);
  await asked;
  if (taking.get(id) === asked) taking.delete(id);
}

/** Give back what was taken by mistake, within 30 s. */
export async function release(id) {
  await taking.get(id); // it is shown as taken at once, and by the feed before its answer is here
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
