// What the page knows: latest state by id, in the order of urgency. Counters, tabs, list and alarms all read from here.
import { computed, signal } from "@preact/signals";

export const RANK = { critical: 1, major: 2, minor: 3, warning: 4, none: 5 };
const BINS = { incident: "incidents", call: "calls", line: "lines", operator: "operators", counter: "counters" };

export function emptyState() {
  return { epoch: "", rev: 0, incidents: new Map(), calls: new Map(), lines: new Map(), operators: new Map(), counters: new Map() };
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
  const bin = BINS[item.type];
  if (!bin) return null;
  const before = state[bin].get(item.id);
  if (before && item.version < before.version) return null;
  const after = received(item);
  state[bin].set(item.id, after);
  return { bin, reordered: bin === "incidents" && (!before || !sameOrder(before, after)) };
}

/** Apply a frame of the feed in place. Returns the names of the bins that changed, and whether rows must be sorted again. */
export function applyFrame(state, frame) {
  const changed = new Set();
  let reordered = false;
  if (frame.reset) {
    for (const bin of Object.values(BINS)) {
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

/** Does the row belong to the tab? Tabs: all, mine, waiting, call_back, complaint. */
export function inTab(row, tab, me) {
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
      return true;
  }
}

export const TABS = ["all", "mine", "waiting", "call_back", "complaint"];

/** Every number the page shows, in one pass over the rows: open per severity, and rows per tab. */
export function count(rows, me) {
  const counts = { critical: 0, major: 0, minor: 0, warning: 0, none: 0, open: 0, raised: { critical: 0, major: 0, minor: 0, warning: 0, none: 0 }, tabs: {} };
  for (const tab of TABS) counts.tabs[tab] = 0;
  for (const row of rows) {
    if (row.state !== "closed") {
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
export const session = signal(null);
export const tab = signal("all");
export const search = signal("");

function tell({ changed, reordered }) {
  if (changed.has("incidents")) incidentsChanged.value += 1;
  if (reordered) orderChanged.value += 1;
  if (changed.has("calls")) callsChanged.value += 1;
  if (changed.has("lines")) linesChanged.value += 1;
}

export function receive(frame) {
  tell(applyFrame(state, frame));
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

export const me = computed(() => session.value?.name ?? null);
export const counts = computed(() => count(rows.value, me.value));
export const calls = computed(() => {
  callsChanged.value;
  return [...state.calls.values()].sort((a, b) => (a.since < b.since ? -1 : 1));
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
