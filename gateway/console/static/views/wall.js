// The wallboard: figures for a whole room, nobody's name, large enough for five metres. What is not fresh is never shown as if it were.
import { computed } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { clockTime, countdown, second } from "../clock.js";
import { link } from "../feed.js";
import { label, t } from "../i18n.js";
import { question } from "../reading.js";
import { sound, unlock } from "../sound.js";
import { LEVELS, countersChanged, flood as floodNow, lines, state } from "../store.js";
import { Mark, html } from "../ui.js";
import { reachable, view } from "../work.js";
import { districtName } from "./bar.js";

const LEVELS_MS = 30_000; // service levels are read that often
const OLD_MS = 120_000; // and are not shown when they could not be read for so long
const FRESH = new Set(["live", "polling"]);

const levels = question();
const queue = computed(() => { countersChanged.value; return state.counters.get("queue") ?? null; });
const board = computed(() => { countersChanged.value; return state.counters.get("board") ?? null; });

const percent = (share) => (share === null || share === undefined ? "–" : `${Math.floor(share * 1000) / 10} %`);
const since = (at) => countdown(second.value, Date.parse(at));

function Level({ severity }) {
  const now = queue.value;
  const raised = now.raised?.[severity];
  return html`<section class=${`wall-level ${severity} ${raised ? "raised" : ""}`} aria-label=${label("severity", severity)}>
    <h2><${Mark} severity=${severity} withText=${true} /></h2>
    <p class="figure">${raised?.count ?? 0}</p>
    <p class="what">${t("wall.waiting")}</p>
    <p class="oldest">${raised ? html`<b>${since(raised.oldest)}</b> ${t("wall.oldest")}` : t("wall.none_waiting")}</p>
    <p class="open">${t("wall.open", { n: now[severity] })}</p>
  </section>`;
}

function Fact({ name, figure, of, note, bad = false }) {
  return html`<section class=${`wall-fact ${name} ${bad ? "bad" : ""}`}><h2>${t(`wall.${name}`)}</h2>
    <p class="figure">${figure}${of !== undefined && html`<small>${of}</small>`}</p><p class="what">${note}</p></section>`;
}

/** Of all hotlines and areas together: calls answered, and alarms taken, within what their standard asks. */
function Reached({ clock }) {
  const { data } = levels.state.value;
  const isOld = !data || second.value - Date.parse(data.now) > OLD_MS;
  const row = isOld ? null : data.levels.find((one) => one.clock === clock && one.counted > 0);
  const target = row?.targets[0];
  const note = isOld ? t("wall.no_figures") : row ? t("wall.aim", { n: target.within_s, aim: percent(target.share) }) : t("wall.nothing_counted");
  return html`<${Fact} name=${clock} figure=${row ? html`${percent(target.reached).replace(" %", "")}<small> %</small>` : "–"} note=${note} bad=${row?.met === false} />`;
}

function Lines() {
  const out = lines.value.filter((line) => line.state !== "live");
  return html`<${Fact} name="lines" figure=${lines.value.length - out.length} of=${` / ${lines.value.length}`} bad=${out.length > 0}
    note=${out.length ? out.map((line) => `${line.id} ${label("line_state", line.state)}`).join(" · ") : t("wall.all_lines")} />`;
}

function Figures() {
  const now = board.value;
  return html`<div class="wall-levels">${LEVELS.map((severity) => html`<${Level} key=${severity} severity=${severity} />`)}</div>
    <div class="wall-facts">
      <${Fact} name="calls" figure=${now?.calls ?? "–"} bad=${now?.calls > 0} note=${now?.oldest_call ? t("wall.since", { time: since(now.oldest_call) }) : t("wall.no_calls")} />
      <${Fact} name="operators" figure=${now?.sound ?? "–"} of=${now ? ` / ${now.operators}` : ""} bad=${now?.sound === 0} note=${now?.sound === 0 ? t("wall.nobody_hears") : t("wall.with_sound")} />
      <${Reached} clock="answer" />
      <${Reached} clock="take" />
      <${Lines} />
    </div>`;
}

/** Instead of figures that may be old. */
function Covered({ reach, at }) {
  return html`<div class="wall-cover" role="alert"><p class="figure">${t(reach === "connecting" ? "wall.connecting" : "link.lost_banner")}</p>
    <p>${at ? t("wall.last_known", { at: clockTime(at) }) : t("wall.nothing_known")}</p></div>`;
}

export function Wall() {
  const box = useRef();
  useLayoutEffect(() => box.current?.focus({ preventScroll: true }), []);
  useEffect(() => {
    const read = () => levels.ask("/api/v1/service-levels?hotline=&area=");
    read();
    const timer = setInterval(read, LEVELS_MS);
    return () => clearInterval(timer);
  }, []);
  const { state: reach, at } = link.value;
  const isFresh = FRESH.has(reach) && queue.value !== null;
  const flood = floodNow.value;
  return html`<main class="ops wall" tabindex="-1" ref=${box} aria-label=${t("view.wall")}>
    <header class="wall-head"><h1>${districtName()}</h1>
      ${flood?.on && html`<strong class="wall-flood">${t("wall.flood", { n: flood.new_10min, time: since(flood.since) })}</strong>`}
      <span class="spring"></span>
      ${sound.value !== "running" && html`<button class="wall-sound" onClick=${() => unlock(true)}>${t("wall.sound_off")}</button>`}
      ${reachable.value.length > 1 && html`<button class="wall-back" onClick=${() => { view.value = reachable.value[0]; }}>${t("wall.leave")} <kbd>Esc</kbd></button>`}
      <span class=${`wall-link ${reach}`}>${isFresh ? "" : `${label("link", reach)} · `}<time>${clockTime(isFresh ? second.value : at)}</time></span></header>
    ${isFresh ? html`<${Figures} />` : html`<${Covered} reach=${reach} at=${at} />`}
  </main>`;
}
