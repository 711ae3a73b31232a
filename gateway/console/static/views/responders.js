// Who could go now, and why those were sent who were: whom each decision took, whom it passed over, and the reason.
import { useEffect, useState } from "preact/hooks";
import { label, language, t } from "../i18n.js";
import { question } from "../reading.js";
import { Time, html, kilometres, kindText, travel } from "../ui.js";
import { detail, openForm, opened } from "../work.js";

function Candidate({ one, number, words }) {
  const isDesk = one.responder === "desk";
  return html`
    <tr class=${`candidate ${one.verdict}`}>
      <td class="number">${number}</td>
      <td><b>${isDesk ? label("responder_kind", "desk") : one.name}</b><span class="quiet">${isDesk ? "" : kindText(one)}</span></td>
      <td>${travel(one.travel_min)}<span class="quiet">${kilometres(one.km)}</span></td>
      <td><span class=${`verdict ${one.verdict}`}>${label(words, one.verdict)}</span>
        <span class="quiet">${isDesk || !one.capacity ? "" : t("responders.load", { load: one.load, capacity: one.capacity })}</span></td>
    </tr>
    ${notesOf(one).length > 0 && html`<tr class="candidate-note"><td></td><td colspan="3">${notesOf(one).join(" · ")}</td></tr>`}`;
}

/** What else counted: score and its weight, what it changed, the agreement by which they help. */
const notesOf = (one) => [
  one.score === null || one.score === undefined ? "" : t("explain.score", { score: one.score }),
  one.weight === null || one.weight === undefined ? "" : t("explain.weight", { weight: one.weight }),
  one.effect ? label("explain", `effect_${one.effect}`) : "",
  one.agreement ? t("explain.agreement", { agreement: one.agreement }) : "",
].filter(Boolean);

/** words: which labels the verdicts take; what was chosen then, would be chosen now. */
function Table({ list, caption, words }) {
  return html`<table aria-label=${caption}>
    <thead><tr><td></td><th>${t("responders.name")}</th><th>${t("responders.travel")}</th><th>${t("responders.verdict")}</th></tr></thead>
    <tbody>${list.map((one, i) => html`<${Candidate} key=${one.responder} one=${one} number=${i + 1} words=${words} />`)}</tbody>
  </table>`;
}

/** What the machine would have chosen is no more than fitting when an operator chose another. */
function withChoice(one, responder) {
  if (one.responder === responder) return { ...one, verdict: "chosen" };
  return one.verdict === "chosen" ? { ...one, verdict: "fits" } : one;
}

/** The last lines of a decision: who was only counted, nobody in time, and from which data it was made. */
function Foot({ decision }) {
  const farther = Object.entries(decision.farther ?? {});
  return html`${farther.map(([verdict, count]) => html`<p class="quiet small" key=${verdict}>${t("explain.farther", { count, verdict: label("verdict", verdict) })}</p>`)}
    <p class="quiet small">${t("decision.register", { version: decision.register })}${decision.position ? ` · ${t("decision.position", { source: label("position", decision.position.source) })}` : ` · ${t("decision.no_position")}`}</p>`;
}

/** One decision: {role, rule, candidates, beyond, agreement…}. */
function Decision({ decision, caption }) {
  const isOwn = decision.rule === "operator" && decision.responder;
  const list = (decision.candidates ?? []).map((one) => (isOwn ? withChoice(one, decision.responder) : one));
  return html`
    ${decision.beyond && html`<p class="flag beyond">${t("explain.beyond")}</p>`}
    ${decision.agreement && html`<p>${t("explain.agreement", { agreement: decision.agreement })}</p>`}
    <${Table} list=${list} caption=${caption} words="verdict" />
    <${Foot} decision=${decision} />`;
}

const decided = question();

/** Every other decision of the incident, read when it is asked for: of other roles, of earlier orders. */
function Others({ id, count }) {
  const [isOpen, setOpen] = useState(false);
  useEffect(() => setOpen(false), [id]);
  useEffect(() => { if (isOpen) decided.ask(`/api/v1/incidents/${encodeURIComponent(id)}/decisions`); }, [isOpen, id, count]);
  const { data, error } = decided.state.value;
  const mine = data?.incident === id ? [...data.decisions].reverse() : [];
  return html`<div class="decisions">
    <button class="small" aria-expanded=${isOpen ? "true" : "false"} onClick=${() => setOpen(!isOpen)}>${t(isOpen ? "decision.fewer" : "decision.all", { n: count })}</button>
    ${isOpen && error && html`<p class="error">${error}</p>`}
    ${isOpen && mine.map((one) => {
      const caption = [label("role", one.asked.role), label("rule", one.rule)].filter(Boolean).join(" · ");
      return html`<section key=${one.seq}><h4><${Time} at=${one.at} /> ${caption}</h4><${Decision} decision=${one} caption=${`${one.seq} ${caption}`} /></section>`;
    })}
  </div>`;
}

/** How the newest order was decided, and the way to every other decision. */
export function Why({ id, data }) {
  const decision = data?.decision;
  const count = (data?.timeline ?? []).filter((entry) => entry.detail?.decision).length;
  return html`
    ${decision && html`
      <h3>${t("decision.title")} <span class="quiet"><${Time} at=${decision.at} /> · ${label("rule", decision.rule)}</span></h3>
      <${Decision} decision=${decision} caption=${t("decision.title")} />`}
    ${data && html`<p class="quiet small">${t("about.note")}</p>`}
    ${count > 1 && html`<${Others} id=${id} count=${count} />`}`;
}

export function Responders() {
  language.value;
  const data = detail.value?.id === opened.value ? detail.value?.data : null;
  const now = data?.candidates_now ?? [];
  return html`
    <section class="responders" aria-label=${t("responders.title")}>
      <header><h2>${t("responders.title")}</h2>
        ${data && now.length > 0 && html`<button onClick=${() => openForm(opened.value, "dispatch")}><kbd>D</kbd>${label("action", "dispatch")}</button>`}
      </header>
      <div class="responders-body" tabindex="0" role="group" aria-label=${t("responders.title")}>
        ${!data && html`<p class="quiet">${t("responders.none_open")}</p>`}
        ${data && html`<h3>${t("responders.now")}</h3>`}
        ${data && (now.length ? html`<${Table} list=${now} caption=${t("responders.now")} words="verdict_now" />` : html`<p class="quiet">${t("responders.nobody")}</p>`)}
        <${Why} id=${opened.value} data=${data} />
      </div>
    </section>`;
}
