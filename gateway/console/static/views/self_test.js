// The self-test on the page of the machinery: each point's last result, how long it takes to be seen back, what was missed; sentinels apart.
import { signal } from "@preact/signals";
import { notice, rule } from "../commands.js";
import { label, t } from "../i18n.js";
import { Ago, Time, html } from "../ui.js";

const MARKS = { good: "●", waiting: "◌", missed: "◌", failing: "✕" };
const CLASSES = { good: "live", waiting: "connecting", missed: "suspect", failing: "lost" };
const STAGES = ["connect", "receipt", "bus", "committed", "station"];

const testing = signal(""); // the point under test

const thousandths = (seconds) => (seconds < 0.01 ? (seconds * 1000).toFixed(1) : Math.round(seconds * 1000));
const ms = (seconds) => (seconds === null || seconds === undefined ? "–" : `${thousandths(seconds)} ms`);
const shares = ({ p50, p99 }) => (p50 === null || p50 === undefined ? "–" : `${thousandths(p50)} / ${thousandths(p99)} ms`);
const missingText = (word) => label("reason_word", `self_test_${word}`);

async function testNow(name, read) {
  testing.value = name;
  const answer = await rule(name, "self-test", { point: name });
  testing.value = "";
  const [row] = answer.ok ? answer.body.points : [];
  if (row) notice(() => `${name}: ${row.missing ? missingText(row.missing) : `${label("self_test", "good")} ${ms(row.seconds)}`}`);
  read();
}

function Row({ one, read }) {
  const stages = STAGES.filter((stage) => one.stages?.[stage] !== undefined).map((stage) => `${label("self_test_stage", stage)} ${ms(one.stages[stage])}`).join(" · ");
  return html`<tr class=${one.state === "failing" ? "runaway" : ""}>
    <td><b>${one.name}</b> <span class="quiet">${one.name === one.line ? one.codec : `${one.line} · ${one.codec}`}${one.place && ` · ${one.place}`}</span></td>
    <td><span class=${`line-state ${CLASSES[one.state]}`}><i aria-hidden="true">${MARKS[one.state]}</i> ${label("self_test", one.state)}</span>
      ${one.missing ? html` <span>${missingText(one.missing)}</span>` : ""}
      ${one.how === "path" && html` <span class="quiet" title=${label("self_test_why", one.why)}>${t("self_test.path_only")}</span>`}</td>
    <td class="number" title=${stages}>${one.how === "wire" ? ms(one.seconds) : "–"}</td>
    <td class="number">${one.how === "wire" ? shares(one) : "–"}</td>
    <td class="number">${one.missed} / ${one.sent}</td>
    <td>${one.since ? html`<${Ago} at=${one.since} />` : "–"}</td>
    <td class="do"><button class="small" disabled=${testing.value !== ""} onClick=${() => testNow(one.name, read)}>${t("self_test.now")}<span class="unseen"> ${one.name}</span></button></td></tr>`;
}

function Presses({ rows }) {
  return html`<ul class="plain">${rows.map((one) => html`<li key=${one.name} class=${one.state === "failing" ? "bad" : ""}><b>${one.name}</b> <span class="quiet">${one.line}${one.place && ` · ${one.place}`}</span>
    ${" "}${t("self_test.pressed")} ${one.pressed_at ? html`<${Ago} at=${one.pressed_at} />` : "–"} · ${t(one.state === "failing" ? "self_test.press_overdue" : "self_test.press_due")} ${one.due ? html`<${Time} at=${one.due} />` : "–"}</li>`)}</ul>`;
}

function Table({ name, rows, read }) {
  const tested = rows.filter((one) => one.how !== "press").sort((one, other) => (other.state === "failing") - (one.state === "failing"));
  const pressed = rows.filter((one) => one.how === "press");
  return html`<section class="self-test"><h3>${t(`self_test.${name}`)}</h3>
    ${tested.length > 0 && html`<table aria-label=${t(`self_test.${name}`)}><thead><tr>${["point", "result", "seen_back", "shares", "missed_of", "since", "action"].map((head) => html`<th scope="col" key=${head}>${t(`self_test.${head}`)}</th>`)}</tr></thead>
      <tbody>${tested.map((one) => html`<${Row} key=${one.name} one=${one} read=${read} />`)}</tbody></table>`}
    ${pressed.length > 0 && html`<${Presses} rows=${pressed} />`}</section>`;
}

/** state: of the answer; read: ask for it anew. */
export function SelfTest({ state, read }) {
  if (!state) return null;
  const sentinels = state.points.filter((one) => one.sentinel);
  return html`<${Table} name="lines" rows=${state.points.filter((one) => !one.sentinel)} read=${read} />
    ${sentinels.length > 0 && html`<${Table} name="sentinels" rows=${sentinels} read=${read} />`}`;
}
