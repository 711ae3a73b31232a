// Who looks at this screen, and in which minute, lightly over everything: a photograph of the screen says whose it was.
import { computed } from "@preact/signals";
import { clockTime, second } from "../clock.js";
import { me, session } from "../store.js";
import { html } from "../ui.js";

const MINUTE_MS = 60_000;
const TILE = { width: 420, height: 260 };

/** Changes once a minute, not once a second: it covers the whole screen. */
const minute = computed(() => Math.floor(second.value / MINUTE_MS) * MINUTE_MS);

const escaped = (text) => text.replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`);

/** A picture with the words in it, as an address; one ink for both themes, as a picture knows no variables. */
function tile(words) {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${TILE.width}" height="${TILE.height}"><text x="40" y="200" transform="rotate(-24 40 200)" font-family="sans-serif" font-size="17" fill="#808890" fill-opacity="0.13">${escaped(words)}</text></svg>`;
  return `url("data:image/svg+xml,${encodeURIComponent(svg)}")`;
}

export function Watermark() {
  const name = me.value ?? session.value?.account?.name;
  if (!name) return null;
  const words = `${name} ${clockTime(minute.value).slice(0, -3)}`;
  return html`<div class="watermark" aria-hidden="true" data-words=${words} style=${{ backgroundImage: tile(words) }}></div>`;
}
