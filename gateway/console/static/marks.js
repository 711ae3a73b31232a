// Rows that are marked (X), and what is done to all of them at once: each has its own answer, and the page says how many were done.
import { computed, effect, signal } from "@preact/signals";
import { notice, send } from "./commands.js";
import { now } from "./clock.js";
import { label, reasonText, t } from "./i18n.js";
import { RANK, incidentsChanged, me, state } from "./store.js";

const MARKS_LIMIT = 100; // as many as one command for several may name
const AT_ONCE = 6; // commands under way; the browser opens no more connections to one server
const UNDO_MS = 600_000; // as long as the core lets a merger be undone

const chosen = signal(new Set());
/** {action, results: [{id, ok, text}]} of the last bulk command while its pane is open, {action} before it; null: no pane. */
export const bulk = signal(null);
let mergers = []; // [{id, into, at}] of this page, the newest last

/** Ids of the marked rows that are still there, in the order of marking. */
export const marked = computed(() => {
  incidentsChanged.value;
  return [...chosen.value].filter((id) => state.incidents.has(id));
});

export function toggleMark(id) {
  if (!state.incidents.has(id)) return;
  const next = new Set(marked.value);
  if (next.has(id)) next.delete(id);
  else if (next.size >= MARKS_LIMIT) notice(() => t("marks.limit", { n: MARKS_LIMIT }), "warning");
  else next.add(id);
  chosen.value = next;
}

export function clearMarks() {
  chosen.value = new Set();
}

/** Into which of these rows the others go: the worst, then the one that waits longest. */
export function mergeTarget(rows) {
  const rank = (row) => RANK[row.severity] ?? 5;
  return [...rows].sort((a, b) => rank(a) - rank(b) || Date.parse(a.opened_at) - Date.parse(b.opened_at) || (a.id < b.id ? -1 : 1))[0]?.id ?? null;
}

/** Do one thing to several incidents, each by itself. Gives [{id, ok, text}] in the same order; what was done is no longer marked. */
export async function doAll(ids, action, body = {}) {
  const results = new Map();
  const waiting = [...ids];
  const work = async () => {
    for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
      const answer = await send(id, action, body, { isQuiet: true });
      results.set(id, { id, ok: answer.ok, text: answer.ok ? label("action", action) : reasonText({ ...answer.body }) });
      if (answer.ok && action === "merge") mergers = [...mergers, { id, into: body.into, at: now() }].slice(-MARKS_LIMIT);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, waiting.length) }, work));
  const list = ids.map((id) => results.get(id));
  const done = list.filter((one) => one.ok).length;
  chosen.value = new Set(marked.value.filter((id) => !results.get(id)?.ok));
  notice(() => t("bulk.done", { action: label("action", action), n: done, of: ids.length }), done < ids.length ? "warning" : "info");
  return list;
}

/** What the keys and buttons ask for: taking needs no form, it is done at once; the pane then says what came of each. */
export async function startBulk(action) {
  const ids = marked.value;
  if (ids.length === 0) {
    notice(() => t("reason.none_marked"), "warning");
    return;
  }
  bulk.value = { action };
  if (action !== "acknowledge") return;
  bulk.value = { action, results: [] };
  const results = await doAll(ids, action);
  if (bulk.value?.action === action) bulk.value = { action, results };
}

/** The incident that was put into this one last, from this page, and may still be taken out again; or null. */
export function lastMergedInto(id) {
  mergers = mergers.filter((one) => now() - one.at < UNDO_MS);
  return mergers.findLast((one) => one.into === id)?.id ?? null;
}

export function forgetMerger(id) {
  mergers = mergers.filter((one) => one.id !== id);
}

effect(() => {
  me.value; // another person begins without marks
  chosen.value = new Set();
  bulk.value = null;
  mergers = [];
});
