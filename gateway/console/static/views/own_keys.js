// Letters that act in one view beside the queue only. A key after G belongs to the page, and nothing acts while somebody writes.
import { letters } from "../settings.js";

const AFTER_MS = 2000; // as in app.js: G and then D, within so long

/** A handler of keydown: `keys` is {code: what to do}. */
export function ownKeys(keys) {
  let gone = -Infinity; // when G was pressed
  return (event) => {
    const isPlain = !event.ctrlKey && !event.altKey && !event.metaKey && !event.shiftKey && !event.isComposing && !event.repeat;
    const isAfterG = performance.now() - gone < AFTER_MS;
    gone = event.code === "KeyG" ? performance.now() : -Infinity;
    if (!isPlain || isAfterG || !letters.value || event.target.closest?.("form, textarea, select, input:not([type=checkbox]):not([type=radio])")) return;
    const act = keys[event.code];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act(event.target);
  };
}
