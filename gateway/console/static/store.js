// What the page knows: latest state by id, in the order of urgency. Counters, tabs, list and alarms all read from here.
import { computed, signal } from "@preact/signals";

/** Of the severities, the four that alarm somebody, the worst first. */
export const LEVELS = ["critical", "major", "minor", "warning"];
export const RANK = { critical: 1, major: 2, minor: 3, warning: 4, none: 5 };
const BINS = { incident: "incidents", call: "calls", line: "lines", operator: "operators", counter: "counters", state: "states", notice: "notices", shift: "shifts" };

const REQUEST = "service_request";
const REQUESTS_KEPT = 50; // those that were opened; their list is read by the page that shows it

export function emptyState() {
  return { epoch: "", rev: 0, incidents: new Map(), requests: new Map(), calls: new Map(), lines: new Map(), operators: new Map(), counters: new Map(), states: new Map(), notices: new Map(), shifts: new Map() };
}

/** Times as numbers, once, at the door. */
function received(item) {
  if (item.type !== "incident") return item;
  return { ...item, dueMs: item.due ? Date.parse(item.due.at) : Infinity };
}

/** Has the row kept what it is sorted by? */
export function sameOrder(a, b) {
  return a.severity === b.severity && a.dueMs === b.dueMs && (a.state === "closed") === (b.state === "closed");
}

/**
 * Put one item in. Returns {bin, reordered} or null when it is older than what is known: the answer to a command and the
 * feed may overtake each other, so an incident never goes back to an earlier version.
 */
export function putItem(state, item) {
  const bin = item.kind === REQUEST && item.type === "incident" ? "requests" : BINS[item.type]; // an ordinary service is never among the alarms
  if (!bin) return null;
  const before = state[bin].get(item.id);
  if (before && item.version < before.version) return null;
  const after = received(item);
  state[bin].set(item.id, after);
  if (bin === "requests" && state.requests.size > REQUESTS_KEPT) state.requests.delete(state.requests.keys().next().value);
  return { bin, reordered: bin === "incidents" && (!before || !sameOrder(before, after)) };
}

/** Apply a frame of the feed in place. Returns the names of the bins that changed, and whether rows must be sorted again. */
export function applyFrame(state, frame) {
  const changed = new Set();
  let reordered = false;
  if (frame.reset) {
    for (const bin of [...Object.values(BINS), "requests"]) {
      state[bin].clear();
      changed.add(bin);
    }
    reordered = true;
  }
  for (const item of frame.items ?? []) {
    const put = putItem(state, item);
    if (put) {
      changed.add(put.bin);
      reordered ||= put.reordered;
    }
  }
  for (const name of frame.gone ?? []) {
    const colon = name.indexOf(":");
    const bin = BINS[name.slice(0, colon)];
    if (bin && state[bin].delete(name.slice(colon + 1))) {
      changed.add(bin);
      reordered ||= bin === "incidents";
    }
  }
  if (frame.epoch !== undefined) state.epoch = frame.epoch;
  if (frame.rev !== undefined) state.rev = frame.rev;
  return { changed, reordered };
}

/** Open before closed, then severity, then the nearest deadline, then id (rule 1). */
export function compareIncidents(a, b) {
  return (
    (a.state === "closed") - (b.state === "closed") ||
    (RANK[a.severity] ?? 5) - (RANK[b.severity] ?? 5) ||
    (a.dueMs === b.dueMs ? 0 : a.dueMs - b.dueMs) ||
    (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)
  );
}

/** What is not live first, mandatory before the rest: the bar has little room. */
export function compareLines(a, b) {
  return (a.state === "live") - (b.state === "live") || b.mandatory - a.mandatory || (a.id < b.id ? -1 : 1);
}

/** Open, and neither put aside nor over: what the counters count and what may sound. */
export const isLive = (row) => row.state !== "closed" && !row.shelf;

/** Does the row belong to the tab? What is on the shelf stands in its own tab and nowhere else. Tabs: all, mine, waiting, call_back, complaint, shelved. */
export function inTab(row, tab, me) {
  if (tab === "shelved" || row.shelf) return tab === "shelved" && Boolean(row.shelf) && row.state !== "closed";
  switch (tab) {
    case "mine":
      return row.state !== "closed" && row.owner !== null && row.owner === me;
    case "waiting":
      return row.state === "raised";
    case "call_back":
      return row.state === "resolved" || (row.state !== "closed" && (row.flags ?? []).includes("call_due"));
    case "complaint":
      return row.state !== "closed" && (row.flags ?? []).includes("complaint");
    default:
      return true; // with those that were closed in the last minutes: the list sets them apart, the counter leaves them out
  }
}

export const TABS = ["all", "mine", "waiting", "call_back", "complaint", "shelved"];

/** Every number the page shows, in one pass over the rows: open per severity, and open rows per tab. */
export function count(rows, me) {
  const counts = { critical: 0, major: 0, minor: 0, warning: 0, none: 0, open: 0, raised: { critical: 0, major: 0, minor: 0, warning: 0, none: 0 }, tabs: {} };
  for (const tab of TABS) counts.tabs[tab] = 0;
  for (const row of rows) {
    if (row.state === "closed") continue;
    if (!row.shelf) {
      counts.open += 1;
      counts[row.severity] += 1;
      if (row.state === "raised") counts.raised[row.severity] += 1;
    }
    for (const tab of TABS) if (inTab(row, tab, me)) counts.tabs[tab] += 1;
  }
  return counts;
}

// The page's own store: one state, and signals that say which part of it changed.
export const state = emptyState();
export const incidentsChanged = signal(0);
export const orderChanged = signal(0);
export const callsChanged = signal(0);
export const linesChanged = signal(0);
export const countersChanged = signal(0);
export const noticesChanged = signal(0);
export const operatorsChanged = signal(0);
/** Has the server told us everything once? Before that an empty list means nothing. */
export const isTold = signal(false);
export const session = signal(null);
export const tab = signal("all");
export const search = signal("");

function tell({ changed, reordered }) {
  if (changed.has("incidents") || changed.has("requests")) incidentsChanged.value += 1;
  if (reordered) orderChanged.value += 1;
  if (changed.has("calls")) callsChanged.value += 1;
  if (changed.has("lines")) linesChanged.value += 1;
  if (changed.has("counters") || changed.has("states")) countersChanged.value += 1;
  if (changed.has("operators")) operatorsChanged.value += 1;
  if (changed.has("notices") || changed.has("shifts")) noticesChanged.value += 1;
}

export function receive(frame) {
  tell(applyFrame(state, frame));
  if (frame.epoch !== undefined) isTold.value = true;
  else if (frame.reset) isTold.value = false; // emptied here, for somebody else: to be read anew
}

/** A row that came as the answer to a command, ahead of the feed. */
export function receiveRow(row) {
  if (!row) return;
  const put = putItem(state, { type: "incident", ...row });
  if (put) tell({ changed: new Set([put.bin]), reordered: put.reordered });
}

export const ordered = computed(() => {
  orderChanged.value;
  return [...state.incidents.values()].sort(compareIncidents).map((row) => row.id);
});

/** All rows in order, with their latest content. */
export const rows = computed(() => {
  incidentsChanged.value;
  return ordered.value.map((id) => state.incidents.get(id)).filter(Boolean);
});

/** The row of an incident, or of a request that was opened. */
export const rowOf = (id) => state.incidents.get(id) ?? state.requests.get(id) ?? null;

/** Open requests for services: {raised, acknowledged, resolved, unmatched, told}; null while there was none. */
export const requestCounts = computed(() => {
  countersChanged.value;
  return state.counters.get("requests") ?? null;
});

/** What the one who is here does (gateway/core/account.py); `local` without accounts. */
export const role = computed(() => session.value?.account?.role ?? "local");
export const me = computed(() => session.value?.name ?? null);

/** The counters of the server: all there is while rows are hidden. */
export const queueCounter = computed(() => {
  countersChanged.value;
  return state.counters.get("queue") ?? null;
});

/** Too many at once, as the server sees it: {on, by, since, new_10min, operators}, or null. */
export const flood = computed(() => {
  countersChanged.value;
  return state.states.get("flood") ?? null;
});

export const counts = computed(() => count(rows.value, me.value));
export const calls = computed(() => {
  callsChanged.value;
  return [...state.calls.values()].sort((a, b) => (a.since < b.since ? -1 : 1));
});
/** Who is on duty, by name, each with the incidents in their hands: {id, name, sound, extension, view, mode, load}. */
export const operators = computed(() => {
  operatorsChanged.value;
  const load = new Map();
  for (const row of rows.value) if (row.owner && row.state === "acknowledged") load.set(row.owner, (load.get(row.owner) ?? 0) + 1);
  return [...state.operators.values()].map((one) => ({ ...one, load: load.get(one.name) ?? 0 })).sort((a, b) => (a.name < b.name ? -1 : 1));
});
export const lines = computed(() => {
  linesChanged.value;
  return [...state.lines.values()].sort(compareLines);
});

/** Who waits to be rung back, before who waits for the call after help: urgent first, then who tried first (as /api/v1/call-backs has it). */
export function compareCallBacks(a, b) {
  const due = (row) => (row.flags ?? []).includes("call_due");
  const since = (row) => Date.parse(row.first_attempt_at ?? row.opened_at);
  return due(b) - due(a) || (due(a) ? (RANK[a.severity] ?? 5) - (RANK[b.severity] ?? 5) || since(a) - since(b) || (a.id < b.id ? -1 : 1) : 0);
}

/** The rows the queue shows: the chosen tab, then every word of the search somewhere in the row. */
export function select(all, chosen, wanted, who, text) {
  const parts = wanted.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter((row) => inTab(row, chosen, who) && parts.every((part) => text(row).toLowerCase().includes(part)));
  return chosen === "call_back" ? found.sort(compareCallBacks) : found;
}
