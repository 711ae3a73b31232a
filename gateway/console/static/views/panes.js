// Three panes with movable borders, remembered for each user of this machine.
import { t } from "../i18n.js";
import { setting } from "../settings.js";
import { html } from "../ui.js";

const START = [47, 32]; // per cent of the width: queue, incident; the rest is for responders
const LEAST = 16;
const STEP = 2;

const widths = setting("panes", START, (kept) => Array.isArray(kept) && kept.length === 2 && kept.every((part) => part >= LEAST) && kept[0] + kept[1] <= 100 - LEAST);

/** Move border `index` to `at` per cent of the width. */
function move(index, at) {
  const [first, second] = widths.value;
  const edge = index === 0 ? Math.min(Math.max(at, LEAST), first + second - LEAST) : Math.min(Math.max(at, first + LEAST), 100 - LEAST);
  widths.value = index === 0 ? [edge, first + second - edge] : [first, edge - first];
}

function Border({ index }) {
  const at = index === 0 ? widths.value[0] : widths.value[0] + widths.value[1];
  const onPointerDown = (event) => {
    const bar = event.currentTarget;
    const box = bar.parentElement.getBoundingClientRect();
    bar.setPointerCapture(event.pointerId);
    bar.onpointermove = (moved) => move(index, ((moved.clientX - box.left) / box.width) * 100);
    bar.onpointerup = () => { bar.onpointermove = null; };
    event.preventDefault();
  };
  const onKeyDown = (event) => {
    if (event.key === "ArrowLeft") move(index, at - STEP);
    else if (event.key === "ArrowRight") move(index, at + STEP);
  };
  return html`<div class="border" role="separator" aria-orientation="vertical" tabindex="0" aria-label=${t("panes.border")} aria-valuenow=${Math.round(at)} title=${t("panes.border")} onDblClick=${() => { widths.value = START; }}
    onPointerDown=${onPointerDown} onKeyDown=${onKeyDown}></div>`;
}

export function Panes({ left, middle, right }) {
  const [first, second] = widths.value;
  return html`<main class="panes" style=${{ gridTemplateColumns: `minmax(0, ${first}fr) 5px minmax(0, ${second}fr) 5px minmax(0, ${100 - first - second}fr)` }}>
    ${left}<${Border} index=${0} />${middle}<${Border} index=${1} />${right}
  </main>`;
}
