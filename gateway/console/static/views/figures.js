// How a shift was: figures of alarm management beside what is aimed at, drawn as small bars.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { now } from "../clock.js";
import { label, t } from "../i18n.js";
import { question } from "../reading.js";
import { LEVELS } from "../store.js";
import { Mark, Time, html, lasted } from "../ui.js";

const HOUR_MS = 3_600_000;
const SHIFT_H = 8;
/** [word, hours from, hours until] before now. */
const PERIODS = [["this_shift", SHIFT_H, 0], ["last_shift", 2 * SHIFT_H, SHIFT_H], ["day", 24, 0], ["week", 7 * 24, 0]];
const RATE_AIM = 1; // new alarms in 10 min for one operator: EEMUA 191, "very likely to be acceptable"
const ANSWER_AIMS = { within_15: 0.95, within_60: 0.975, within_180: 0.99 }; // GB/T 33358-2016; TSA

const kpi = question();
const period = signal(0);

const load = () => {
  const [, from, until] = PERIODS[period.value];
  const at = (hours) => new Date(now() - hours * HOUR_MS).toISOString();
  return kpi.ask(`/api/v1/kpi?${new URLSearchParams({ since: at(from), until: at(until) })}`);
};

const percent = (share) => (share === null || share === undefined ? "–" : `${(share * 100).toFixed(1)} %`);

/** Is the aim reached? Null when there is none, or nothing to compare. `better`: more or less is better. */
const reaches = (value, aim, better) => (aim === undefined || value === null || value === undefined ? null : better === "less" ? value <= aim : value >= aim);

/** One bar, and a stroke where the aim is. `most`: what fills it. */
function Bar({ value, aim, most, better = "less", text }) {
  const x = (one) => Math.max(0, Math.min(100, (one / (most || 1)) * 100));
  return html`<svg class=${`figure-bar ${reaches(value, aim, better) === false ? "bad" : ""}`} viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label=${text}>
    <rect class="ground" x="0" y="0" width="100" height="10" /><rect class="value" x="0" y="1.5" width=${x(value ?? 0)} height="7" />
    ${aim !== undefined && html`<line class="aim" x1=${x(aim)} x2=${x(aim)} y1="0" y2="10" />`}</svg>`;
}

/** A figure with words beside it; with a bar (the properties of Bar) also whether the aim is reached, not by colour alone. */
function Row({ name, figure, aim, bar }) {
  const met = bar ? reaches(bar.value, bar.aim, bar.better ?? "less") : null;
  return html`<tr><th scope="row">${name}</th><td class="number">${figure}</td><td class="bar-cell">${bar && html`<${Bar} ...${bar} />`}</td>
    <td class=${met === false ? "missed" : "quiet"}>${met === null ? "" : html`<span aria-hidden="true">${met ? "✓" : "✕"}</span><span class="unseen">${t(met ? "levels.met" : "levels.missed")}</span> `}${aim ?? ""}</td></tr>`;
}

const maybe = (value, write) => (value === null || value === undefined ? "–" : write(value));

function Table({ title, children }) {
  return html`<section class="figures"><h3>${title}</h3><table aria-label=${title}><thead class="unseen"><tr>${["what", "figure", "bar", "aim"].map((name) => html`<th scope="col" key=${name}>${t(`figures.${name}`)}</th>`)}</tr></thead><tbody>${children}</tbody></table></section>`;
}

function Load({ data }) {
  const rate = data.alarms_10min_operator;
  return html`<${Table} title=${t("figures.load")}>
    <${Row} name=${t("figures.rate")} figure=${maybe(rate, (n) => n.toFixed(1))} aim=${t("figures.at_most", { n: RATE_AIM })} bar=${{ value: rate, aim: RATE_AIM, most: Math.max(4, rate ?? 0), text: t("figures.rate") }} />
    <${Row} name=${t("figures.alarms")} figure=${data.alarms} aim=${t("figures.by_operators", { n: data.operators ?? 0 })} />
    <${Row} name=${t("figures.busiest")} figure=${maybe(data.busiest_10min, (one) => one.count)} aim=${data.busiest_10min ? html`<${Time} at=${data.busiest_10min.at} />` : ""} />
    <${Row} name=${t("figures.flood")} figure=${t("lasted.minutes", { n: data.flood?.minutes ?? 0 })} aim=${t("figures.times", { n: data.flood?.times ?? 0 })} />
    <${Row} name=${t("figures.repeats")} figure=${data.repeats?.entries ?? 0} aim=${t("figures.in_incidents", { n: data.repeats?.incidents ?? 0 })} />
    <${Row} name=${t("figures.oldest_waiting")} figure=${maybe(data.oldest_waiting_s, lasted)} />
    <${Row} name=${t("figures.stale")} figure=${data.stale ?? 0} aim=${t("figures.aim_none")} />
    <${Row} name=${t("figures.shelved")} figure=${data.shelved ?? 0} />
  <//>`;
}

/** Critical and major share one aim: few things are truly urgent. */
function Levels({ data }) {
  const { critical, major } = data.levels;
  const urgent = { count: critical.count + major.count, share: data.urgent_share, aim: major.aim };
  const rows = [["critical", { ...critical, aim: undefined }], ["major", { ...major, aim: undefined }], ["urgent", urgent], ["minor", data.levels.minor], ["warning", data.levels.warning]];
  return html`<${Table} title=${t("figures.levels")}>${rows.map(([name, one]) => html`<${Row} key=${name}
    name=${LEVELS.includes(name) ? html`<${Mark} severity=${name} withText=${true} />` : t("figures.urgent")} figure=${`${percent(one.share)} (${one.count})`} aim=${one.aim === undefined ? "" : t("figures.aim_share", { aim: percent(one.aim) })}
    bar=${{ value: one.share, aim: one.aim, most: 1, better: name === "warning" ? "more" : "less", text: name === "urgent" ? t("figures.urgent") : label("severity", name) }} />`)}<//>`;
}

function Answer({ data }) {
  const { answer } = data;
  const within = Object.entries(ANSWER_AIMS);
  return html`<${Table} title=${t("figures.answer", { n: answer?.count ?? 0 })}>
    ${within.map(([name, aim]) => html`<${Row} key=${name} name=${t(`figures.${name}`)} figure=${percent(answer?.[name])} aim=${t("figures.at_least", { aim: percent(aim) })}
      bar=${{ value: answer?.[name] ?? null, aim, most: 1, better: "more", text: t(`figures.${name}`) }} />`)}
    <${Row} name=${t("figures.median")} figure=${maybe(answer?.median_s, (n) => t("lasted.seconds", { n: Math.round(n) }))} />
    <${Row} name=${t("figures.longest")} figure=${maybe(answer?.longest_s, (n) => t("lasted.seconds", { n: Math.round(n) }))} />
  <//>`;
}

function Worst({ rows }) {
  const most = Math.max(1, ...rows.map((one) => one.count));
  return rows.length === 0 ? html`<section class="figures"><h3>${t("figures.worst")}</h3><p class="nothing-here">${t("figures.no_worst")}</p></section>`
    : html`<${Table} title=${t("figures.worst")}>${rows.map((one) => html`<${Row} key=${`${one.line} ${one.ref} ${one.kind}`} name=${html`${one.device ?? one.line} <span class="quiet">${label("kind", one.kind)}</span>`} figure=${one.count}
      aim=${one.line} bar=${{ value: one.count, most, text: one.device ?? one.line }} />`)}<//>`;
}

export function Figures() {
  useEffect(() => { load(); }, []);
  const { data, error, busy } = kpi.state.value;
  return html`<div class="filters" role="group" aria-label=${t("figures.period")}>${PERIODS.map(([name], i) => html`
      <button key=${name} aria-pressed=${period.value === i ? "true" : "false"} onClick=${() => { period.value = i; load(); }}>${t(`figures.${name}`)}</button>`)}
      ${data && html`<span class="quiet"><${Time} at=${data.since} /> – <${Time} at=${data.until} /></span>`}</div>
    ${error ? html`<p class="error">${error}</p>` : !data && busy ? html`<p class="quiet">${t("form.loading")}</p>` : ""}
    ${data && (data.incidents === 0 && data.alarms === 0 ? html`<p class="nothing-here">${t("figures.nothing")}</p>` : html`<div class="desk-figures">
      <${Load} data=${data} /><${Levels} data=${data} /><${Answer} data=${data} /><${Worst} rows=${data.worst} /></div>
      ${data.cut && html`<p class="quiet small">${t("figures.cut")}</p>`}
      <p class="quiet small">${t("figures.sources")}</p>`)}`;
}
