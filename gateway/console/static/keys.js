// Which key does what. Reads event.code, so it works while a Chinese input method is on (keydown arrives as Process, 229).

/** Rows of the key list, in the order shown. `where`: any = also in text fields, work = only with the queue or incident in focus. */
export const KEYS = [
  { code: "F2", does: "take_next", where: "any", shown: "F2" },
  { code: "F4", does: "dispatch", where: "any", shown: "F4" },
  { code: "F8", does: "note", where: "any", shown: "F8" },
  { code: "F9", does: "escalate", where: "any", shown: "F9" },
  { code: "ArrowUp", does: "up", where: "queue", shown: "↑" },
  { code: "KeyK", does: "up", where: "queue", shown: "K" },
  { code: "ArrowDown", does: "down", where: "queue", shown: "↓" },
  { code: "KeyJ", does: "down", where: "queue", shown: "J" },
  { code: "Home", does: "first", where: "queue", shown: "Home" },
  { code: "End", does: "last", where: "queue", shown: "End" },
  { code: "PageUp", does: "page_up", where: "queue", shown: "PgUp" },
  { code: "PageDown", does: "page_down", where: "queue", shown: "PgDn" },
  { code: "Enter", does: "open", where: "queue", shown: "Enter" },
  { code: "KeyA", does: "acknowledge", where: "work", shown: "A" },
  { code: "KeyZ", does: "release", where: "work", shown: "Z" },
  { code: "KeyD", does: "dispatch", where: "work", shown: "D" },
  { code: "KeyE", does: "escalate", where: "work", shown: "E" },
  { code: "KeyN", does: "note", where: "work", shown: "N" },
  { code: "KeyR", does: "reveal", where: "work", shown: "R" },
  { code: "KeyT", does: "hand_over", where: "work", shown: "T" },
  { code: "KeyC", does: "resolve", where: "work", shown: "C" },
  { code: "KeyV", does: "call_back", where: "work", shown: "V" },
  { code: "KeyP", does: "complain", where: "work", shown: "P" },
  { code: "Space", does: "step", where: "work", shown: "Space" },
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => ({ code: `Digit${n}`, does: `dial_${n}`, where: "work", shown: n === 1 ? "1 – 9" : "" })),
  { code: "Digit0", does: "hang_up", where: "work", shown: "0" },
  { code: "KeyH", does: "hush", where: "work", shown: "H" },
  { code: "Slash", does: "search", where: "work", shown: "/" },
  { code: "Slash", shift: true, does: "help", where: "work", shown: "?" },
  { code: "F1", does: "help", where: "any", shown: "F1" },
  { code: "Escape", does: "back", where: "any", shown: "Esc" },
  { code: "Enter", ctrl: true, does: "submit", where: "any", shown: "Ctrl+Enter" },
];

const REPEATS = new Set(["up", "down", "page_up", "page_down"]);

/** Where the focus is: {text: in a form or a field, queue, incident, button}. */
export function focusOf(target) {
  const within = (selector) => Boolean(target?.closest?.(selector));
  const nowhere = !target || target === target.ownerDocument?.body || target === target.ownerDocument?.documentElement;
  return {
    text: within("input, textarea, select, form, [contenteditable]"),
    button: within("button, a[href], [role=separator]"),
    queue: nowhere || within(".queue"),
    incident: within(".incident, .responders"),
  };
}

/** What a keydown asks for, or null when the key is not ours: a function of the event and of the focus, nothing else. */
export function keyAction(event, focus) {
  if (event.altKey || event.metaKey) return null;
  if (event.key === "?" && !focus.text && (focus.queue || focus.incident)) return "help"; // wherever the layout has it
  const row = KEYS.find((key) => key.code === event.code && Boolean(key.ctrl) === event.ctrlKey && Boolean(key.shift) === event.shiftKey);
  if (!row || (event.repeat && !REPEATS.has(row.does))) return null;
  const isFunctionKey = /^F\d/.test(row.code);
  if (event.isComposing && !isFunctionKey) return null; // Esc and Enter belong to the input method then
  if (row.where === "any") return row.does;
  if (focus.text) return null;
  if (focus.button && (row.code === "Space" || row.code === "Enter")) return null;
  if (row.where === "queue") return focus.queue ? row.does : null;
  return focus.queue || focus.incident ? row.does : null;
}
