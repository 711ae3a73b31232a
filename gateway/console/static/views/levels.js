// Service levels: every profile with what is reached and what it asks, and what runs now. Figures only, nobody's name.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { label, t } from "../i18n.js";
import { question } from "../reading.js";
import { html, lasted } from "../ui.js";
import { Ops } from "./ops.js";

const CLOCKS = ["answer", "take", "inform", "arrive", "call_back"];

const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86_400;

const all = question();
const isSplit = signal(false); // each street or town by itself

const load = () => all.ask(isSplit.value ? "/api/v1/service-levels" : "/api/v1/service-levels?area=");
const percent = (share) => (share === null || share === undefined ? "–" : `${(share * 100).toFixed(share === 1 ? 0 : 1)} %`);
/** A target or window: 106 s, 15 min, 24 h, 30 days. */
const spanText = (seconds) => {
  if (seconds % MINUTE_S || seconds <= 2 * MINUTE_S) return t("lasted.seconds", { n: seconds });
  return seconds % HOUR_S || seconds >= 2 * DAY_S ? lasted(seconds) : t("levels.hours", { n: seconds / HOUR_S });
};
const whereText = (row) => [row.hotline && t("call.hotline", { n: row.hotline }), row.area_name].filter(Boolean).join(" · ") || t("levels.together");

function Row({ row }) {
  const word = row.met === null || row.met === undefined ? "unknown" : row.met ? "met" : "missed";
  return html`<tr class=${word}>
    <td><b>${row.profile}</b></td>
    <td>${whereText(row)}</td>
    <td><span class=${`level ${word}`}><i aria-hidden="true">${{ met: "✓", missed: "✕", unknown: "–" }[word]}</i> ${t(`levels.${word}`)}</span></td>
    <td>${row.targets.map((one) => html`<span class=${`target ${one.reached !== null && one.reached < one.share ? "short" : ""}`} key=${one.within_s}>${t("levels.target", { time: spanText(one.within_s), reached: percent(one.reached), wanted: percent(one.share) })}</span>`)}</td>
    <td>${row.counted}${row.beyond ? html` <span class="quiet">${t("levels.beyond", { n: row.beyond })}</span>` : ""}</td>
    <td>${spanText(row.window_s)}</td>
  </tr>`;
}

function Running({ running }) {
  return html`<section class="running"><h3>${t("levels.running")}</h3><ul>${Object.entries(running).map(([clock, { count, longest_s: longest }]) => html`
    <li key=${clock}><span>${label("clock", clock)}</span> <b>${count}</b> ${count > 0 && html`<span class="quiet">${t("levels.longest", { time: lasted(longest) })}</span>`}</li>`)}</ul></section>`;
}

export function Levels() {
  useEffect(() => { load(); }, []);
  const state = all.state.value;
  const { data } = state;
  const clocks = CLOCKS.filter((clock) => data?.levels.some((row) => row.clock === clock));
  return html`<${Ops} name="levels" state=${state} again=${load}>
    <div class="filters" role="group" aria-label=${t("levels.filters")}>${[false, true].map((split) => html`
      <button key=${split} aria-pressed=${isSplit.value === split ? "true" : "false"} onClick=${() => { isSplit.value = split; load(); }}>${t(split ? "levels.by_area" : "levels.together")}</button>`)}</div>
    ${data && html`<${Running} running=${data.running} />
      ${clocks.length === 0 && html`<p class="nothing-here">${t("levels.none")}</p>`}
      ${clocks.map((clock) => html`<section key=${clock} class="clock"><h3>${label("clock", clock)} <span class="quiet">${label("clock_means", clock)}</span></h3>
        <table aria-label=${label("clock", clock)}>
          <thead><tr>${["profile", "where", "state", "targets", "counted", "window"].map((name) => html`<th scope="col" key=${name}>${t(`levels.${name}`)}</th>`)}</tr></thead>
          <tbody>${data.levels.filter((row) => row.clock === clock).map((row) => html`<${Row} key=${`${row.profile} ${row.hotline} ${row.area}`} row=${row} />`)}</tbody>
        </table></section>`)}
      <p class="quiet small">${t("levels.explain")}</p>`}
  <//>`;
}
