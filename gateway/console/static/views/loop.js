// The closed loop of an incident: order → agree → serve → call back → complaint → handled, each with its time, who it was, and what is overdue.
import { second } from "../clock.js";
import { label, t } from "../i18n.js";
import { Countdown, Time, html } from "../ui.js";
import { Fold } from "./fold.js";

const NODES = ["order", "agree", "serve", "call_back", "complain", "handle"];
const ONLY_IF = new Set(["complain", "handle"]); // no complaint: the loop ends with the call-back
const INSTEAD = { call_back: "waive" };

/** What proves a node, in words; ids of orders and calls say nothing to a reader. */
function evidenceText(evidence, names) {
  const [what, ...rest] = (evidence ?? "").split(":");
  const value = rest.join(":");
  if (what === "finding") return label("finding", value);
  if (what === "outcome") return label("outcome", value);
  if (what === "satisfaction") return "★".repeat(Number(value));
  if (what === "about") return t("loop.about", { who: names.get(value) ?? value });
  return "";
}

/** The nodes in their order: {name, passed, times, due}; a waiver stands in place of the call-back, other stages (handed over, given back) behind. */
export function nodesOf({ passed = [], waits = [] }) {
  const last = (name) => passed.filter((one) => one.name === name);
  const due = (name) => waits.find((one) => one.name === name)?.due ?? null;
  const nodes = NODES.map((name) => {
    const mine = last(name).length || !INSTEAD[name] ? last(name) : last(INSTEAD[name]);
    return { name: mine.at(-1)?.name ?? name, passed: mine.at(-1) ?? null, times: mine.length, due: due(name) };
  });
  const more = [...new Set(passed.map((one) => one.name))].filter((name) => !NODES.includes(name) && !Object.values(INSTEAD).includes(name));
  const rest = more.map((name) => ({ name, passed: last(name).at(-1), times: last(name).length, due: null }));
  const waiting = waits.filter((one) => !NODES.includes(one.name)).map((one) => ({ name: one.name, passed: null, times: 0, due: one.due }));
  return [...nodes.filter((node) => !ONLY_IF.has(node.name) || node.passed || node.due), ...rest, ...waiting.filter((one) => !more.includes(one.name))];
}

function Node({ node, names }) {
  const { passed, due } = node;
  const isLate = due !== null && Date.parse(due) < second.value;
  const wasLate = passed?.due && Date.parse(passed.at) > Date.parse(passed.due);
  const actor = passed?.actor ? names.get(passed.actor) ?? passed.actor : "";
  return html`<li class=${due ? (isLate ? "late" : "waits") : passed ? "passed" : "open"}>
    <b><i aria-hidden="true">${due ? (isLate ? "!" : "…") : passed ? "✓" : "□"}</i> ${label("stage", node.name)}${node.times > 1 ? ` ×${node.times}` : ""}</b>
    ${passed && html`<span><${Time} at=${passed.at} /> ${actor} ${evidenceText(passed.evidence, names)}${wasLate ? html` <span class="was-late">${t("loop.was_late")}</span>` : ""}</span>`}
    ${due && html`<span>${t(isLate ? "loop.overdue" : "loop.due")} <${Countdown} at=${Date.parse(due)} /></span>`}
  </li>`;
}

/** names: responder id → name, of the orders. */
export function Loop({ data }) {
  const loop = data?.incident.loop;
  if (!loop || (loop.passed.length === 0 && loop.waits.length === 0)) return null;
  const { held_until: held, waived, merged_into: into } = data.incident;
  const names = new Map((data.legs ?? []).map((leg) => [leg.responder, leg.name]));
  const nodes = nodesOf(loop);
  return html`<${Fold} name="loop" title=${t("loop.title")}>
    <ol class=${nodes.length > 4 ? "long" : ""}>${nodes.map((node) => html`<${Node} key=${node.name} node=${node} names=${names} />`)}</ol>
    ${held && html`<p class="held">${t("loop.held")} <${Time} at=${held} /></p>`}
    ${waived && html`<p>${t("loop.waived", { why: waived })}</p>`}
    ${into && html`<p>${t("loop.merged", { id: into })}</p>`}
  </${Fold}>`;
}
