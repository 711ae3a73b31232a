// Which key does what. Reads event.code, so it works while a Chinese input method is on (keydown arrives as Process, 229).

const row = (group, where) => (code, does, shown, more = {}) => ({ code, does, group, where, shown, ...more });
const anywhere = (group) => row(group, "any");
const move = row("move", "queue");
const work = row("work", "work");
const rows = row("rows", "work");
const loop = row("loop", "work");
const call = row("call", "work");
const view = (code, does) => row("views", "page")(code, does, `G ${code.slice(3)}`, { after: "KeyG" });

/** Rows of the key list, in the order shown. `where`: any = also in text fields, work = only with the queue or incident in focus, page = that or another view; `after`: the key pressed before. */
export const KEYS = [
  anywhere("take")("F2", "take_next", "F2"),
  row("take", "work")("KeyA", "acknowledge", "A"),
  row("take", "work")("KeyZ", "release", "Z"),
  move("ArrowUp", "up", "↑"),
  move("KeyK", "up", "K"),
  move("ArrowDown", "down", "↓"),
  move("KeyJ", "down", "J"),
  move("Home", "first", "Home"),
  move("End", "last", "End"),
  move("PageUp", "page_up", "PgUp"),
  move("PageDown", "page_down", "PgDn"),
  move("Enter", "open", "Enter"),
  work("KeyD", "dispatch", "D"),
  anywhere("work")("F4", "dispatch", "F4"),
  work("KeyT", "assign", "T"),
  work("KeyE", "escalate", "E"),
  anywhere("work")("F9", "escalate", "F9"),
  work("KeyN", "note", "N"),
  anywhere("work")("F8", "note", "F8"),
  work("Space", "step", "Space"),
  work("KeyR", "reveal", "R"),
  work("KeyI", "identify", "I"),
  work("KeyS", "shelve", "S"),
  work("KeyB", "hold", "B"),
  work("KeyO", "hand_over", "O"),
  work("KeyQ", "cancel", "Q"),
  rows("KeyX", "mark", "X"),
  rows("KeyX", "clear_marks", "Shift+X", { shift: true }),
  rows("KeyA", "bulk_acknowledge", "Shift+A", { shift: true }),
  rows("KeyT", "bulk_assign", "Shift+T", { shift: true }),
  rows("KeyM", "merge", "M"),
  rows("KeyU", "unmerge", "U"),
  rows("KeyY", "split", "Y"),
  loop("KeyC", "resolve", "C"),
  loop("KeyV", "call_back", "V"),
  loop("KeyW", "waive", "W"),
  loop("KeyP", "complain", "P"),
  loop("KeyL", "handle", "L"),
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => call(`Digit${n}`, `dial_${n}`, n === 1 ? "1 – 9" : "")),
  call("Digit0", "hang_up", "0"),
  call("KeyH", "hush", "H"),
  row("views", "page")("KeyG", "go", ""),
  view("KeyQ", "queue"),
  view("KeyM", "map"),
  view("KeyH", "shift"),
  view("KeyS", "supervisor"),
  view("KeyD", "devices"),
  view("KeyW", "watch"),
  view("KeyR", "requests"),
  view("KeyP", "providers"),
  view("KeyA", "aid"),
  view("KeyK", "risks"),
  view("KeyV", "levels"),
  view("KeyE", "register"),
  view("KeyF", "history"),
  view("KeyU", "audit"),
  view("KeyC", "accounts"),
  view("KeyB", "wall"),
  view("KeyL", "lock"),
  view("KeyN", "notices"),
  row("page", "work")("Slash", "search", "/"),
  row("page", "work")("Slash", "help", "?", { shift: true }),
  anywhere("page")("F1", "help", "F1"),
  anywhere("page")("Escape", "back", "Esc"),
  anywhere("page")("Enter", "submit", "Ctrl+Enter", { ctrl: true }),
];

const REPEATS = new Set(["up", "down", "page_up", "page_down"]);
const CHARACTER = /^(Key|Digit|Slash$|Space$)/; // what types something: these can be switched off (WCAG 2.1.4)

/** The key of an action or view as it is written beside it: the first in the list, "" for none. */
export const keyOf = (does) => KEYS.find((key) => key.does === does)?.shown ?? "";

/** Where the focus is: {text: in a form or a field, queue, incident, ops: another view than the queue, button}. */
export function focusOf(target) {
  const within = (selector) => Boolean(target?.closest?.(selector));
  const nowhere = !target || target === target.ownerDocument?.body || target === target.ownerDocument?.documentElement;
  return {
    text: within("input, textarea, select, form, [contenteditable]"),
    button: within("button, a[href], [role=separator]"),
    queue: nowhere || within(".queue"),
    incident: within(".incident, .responders, .map-pane"),
    ops: within(".ops"),
  };
}

/**
 * What a keydown asks for, or null when the key is not ours: a function of the event, of the focus and of the key before it (`after`), nothing else.
 * `letters`: are keys that type something ours at all?
 */
export function keyAction(event, focus, after = null, letters = true) {
  if (event.altKey || event.metaKey) return null;
  if (!letters && (event.key === "?" || (CHARACTER.test(event.code) && !event.ctrlKey))) return null;
  if (event.key === "?" && !focus.text && (focus.queue || focus.incident || focus.ops)) return "help"; // wherever the layout has it
  const fits = (key) => key.code === event.code && Boolean(key.ctrl) === event.ctrlKey && Boolean(key.shift) === event.shiftKey;
  const found = KEYS.find((key) => fits(key) && (key.after ?? null) === after) ?? KEYS.find((key) => fits(key) && !key.after && (after === null || key.where === "any"));
  if (!found || (event.repeat && !REPEATS.has(found.does))) return null;
  const isFunctionKey = /^F\d/.test(found.code);
  if (event.isComposing && !isFunctionKey) return null; // Esc and Enter belong to the input method then
  if (found.where === "any") return found.does;
  if (focus.text) return null;
  if (focus.button && (found.code === "Space" || found.code === "Enter")) return null;
  if (found.where === "queue") return focus.queue ? found.does : null;
  if (found.where === "page" && focus.ops) return found.does;
  return focus.queue || focus.incident ? found.does : null;
}
