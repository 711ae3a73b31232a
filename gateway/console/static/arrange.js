// How the rows stand in the list: who runs away stands in one row, in a flood the lesser levels are grouped, what is over stands apart at the end.
// Pure: rows in, items out. An item is a row, {…row, within: a group} or {id, group, rows, isOpen, …}; a group's id never is an incident's.
import { RANK } from "./store.js";

const NEVER_HIDDEN = 2; // levels 1 and 2 are never grouped or hidden (console design, 5)

/** The part of the place that is an area: "Town Street" → "Town". */
export const townOf = (row) => (row.place ?? "").split(" ")[0];

/** Who sends it: a thing by its address, a person's device by whom it belongs to. */
export const senderOf = (row) => row.sender ?? (row.line && row.device ? `${row.line}|${row.device}` : `${row.name ?? ""}|${row.age ?? ""}|${row.place ?? ""}`);

/** May the row be put behind a heading at all? Never at level 1 or 2. */
const mayHide = (row) => (RANK[row.severity] ?? 5) > NEVER_HIDDEN;

/**
 * rows: in order; flood: is there one?; keep: Set of ids that no folded group hides; opened: Set of groups that are unfolded; folded: Set of those folded by hand;
 * me: the name on duty. Groups: `runaway:…` (one device and kind, again and again), `flood:…` (level, area and kind), `closed` (over, unfolded until it is folded).
 */
export function arrange(rows, { flood = false, keep = new Set(), opened = new Set(), folded = new Set(), me = null } = {}) {
  const open = rows.filter((row) => row.state !== "closed");
  const over = rows.filter((row) => row.state === "closed");
  const groups = new Map();
  const put = (id, facts, row) => {
    if (!groups.has(id)) groups.set(id, { id, rows: [], ...facts });
    groups.get(id).rows.push(row);
    return id;
  };
  const groupOf = (row) => {
    if (!mayHide(row) || (row.owner !== null && row.owner !== undefined && row.owner === me) || !(row.runaway || flood)) return null;
    const id = row.runaway ? `runaway:${senderOf(row)}:${row.kind}` : `flood:${row.severity}:${townOf(row)}:${row.kind}`;
    if (keep.has(row.id) && !opened.has(id)) return null;
    return put(id, { group: row.runaway ? "runaway" : "flood", kind: row.kind, severity: row.severity, town: townOf(row) }, row);
  };
  const homes = open.map(groupOf);
  const items = [];
  const told = new Set();
  open.forEach((row, i) => {
    const home = homes[i] === null ? null : groups.get(homes[i]);
    if (home === null || home.rows.length < 2) {
      items.push(row);
    } else if (!told.has(home.id)) {
      told.add(home.id);
      const isOpen = opened.has(home.id);
      items.push({ ...home, isOpen });
      if (isOpen) items.push(...home.rows.map((one) => ({ ...one, within: home.id })));
    }
  });
  if (over.length > 0 && open.length > 0) items.push({ id: "group:closed", group: "closed", rows: over, isOpen: !folded.has("group:closed"), severity: "none" });
  if (over.length > 0 && (open.length === 0 || !folded.has("group:closed"))) items.push(...over);
  return items;
}
