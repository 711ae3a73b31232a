// Calls at this desk: which one F2 answers, and the record that opens when one was answered.
import { effect } from "@preact/signals";
import { now } from "./clock.js";
import { acknowledge, answerCall, notice } from "./commands.js";
import { t } from "./i18n.js";
import { RANK, calls, me, rowOf, session } from "./store.js";
import { detail, form, open, opened, openForm } from "./work.js";

const WAITING = new Set(["call_ringing", "call_offered"]);
const TALKING = new Set(["call_answered", "call_transferred"]);
const RINGS_MS = 15_000; // so long our telephone may ring after it was asked for; then the call may be asked for again
const UNKNOWN = RANK.minor; // how urgent a call is that is about no incident yet

const SWAP_MS = 1000; // so long after a record has come in place of another a key may still be meant for that other one

let swappedAt = -Infinity;

/** Has an answered call just put its record where another incident was, without a key of ours? */
export const isJustSwapped = () => performance.now() - swappedAt < SWAP_MS;

const asked = new Map(); // call → when it was sent to our telephone

const isAsked = (call) => now() - (asked.get(call.id) ?? -Infinity) < RINGS_MS;
const rank = (call) => RANK[rowOf(call.incident)?.severity] ?? UNKNOWN;

/** The call to answer: what rings here, else the most urgent, of these the one that waits longest. Those we have asked for ring here already. */
export function callToAnswer(all = calls.value) {
  const waiting = all.filter((call) => WAITING.has(call.state) && !isAsked(call));
  const here = (call) => Boolean(call.operator) && call.operator === me.value;
  return waiting.sort((a, b) => here(b) - here(a) || rank(a) - rank(b) || Date.parse(a.since) - Date.parse(b.since))[0] ?? null;
}

/** Can the exchange send a call to this desk? Else it is answered at the telephone. */
const canAnswer = () => Boolean(session.value?.telephone && session.value?.extension);

/** F2, as far as it is about a call: true when one is answered by it. Where the page cannot, it says so, and F2 goes on to what it does else. */
export function answerNext() {
  const call = callToAnswer();
  if (!call) return false;
  if (!canAnswer()) {
    notice(() => t("call.at_the_telephone"));
    return false;
  }
  asked.set(call.id, now());
  answerCall(call.incident ?? t("call.ringing_here"), call.id).then((answer) => {
    if (answer.ok) notice(() => t("call.rings_here"));
    else if (answer.status !== 0) asked.delete(call.id);
  });
  return true;
}

/** Open the form for who calls, if that is not known: say who it is, or write down what they say. False: it is known, or nobody called. */
export function askWho(id) {
  const row = rowOf(id);
  const data = detail.value?.id === id ? detail.value.data : null;
  const isKnown = data ? Boolean(data.person) : row?.name !== null; // a row has the name of a record, too
  if (row?.candidates) openForm(id, "identify");
  else if (row && !isKnown && !row.line && row.caller !== null && row.state !== "closed") openForm(id, "record");
  else return false;
  return true;
}

/**
 * A call answered at one's own desk opens its record, once; whoever is writing is not disturbed, the call in the bar leads there.
 * Who has answered it by a key here has it in hand.
 */
export function popScreens() {
  let popped = new Set();
  effect(() => {
    const mine = calls.value.filter((call) => TALKING.has(call.state) && call.incident && call.operator && call.operator === me.value);
    const next = mine.find((call) => !popped.has(call.id));
    popped = new Set(mine.map((call) => call.id));
    if (!next) return;
    const isAnswered = asked.delete(next.id);
    if (form.peek() !== null) return;
    const before = opened.peek();
    if (!isAnswered && before !== null && before !== next.incident) {
      swappedAt = performance.now();
      notice(() => t("call.record_opened", { id: next.incident, before }));
    }
    open(next.incident);
    askWho(next.incident);
    if (isAnswered && rowOf(next.incident)?.state === "raised") acknowledge(next.incident);
  });
}
