// Who could go now, and how the last order was decided: who was taken, who was passed over, and why.
import { label, t } from "../i18n.js";
import { Time, html, kilometres, travel } from "../ui.js";
import { detail, openForm, opened } from "../work.js";

function Candidate({ one, number, words }) {
  const isDesk = one.responder === "desk";
  return html`
    <tr class=${`candidate ${one.verdict}`}>
      <td class="number">${number}</td>
      <td><b>${isDesk ? label("responder_kind", "desk") : one.name}</b><span class="quiet">${isDesk ? "" : label("responder_kind", one.kind)}</span></td>
      <td>${travel(one.travel_min)}<span class="quiet">${kilometres(one.km)}</span></td>
      <td><span class=${`verdict ${one.verdict}`}>${label(words, one.verdict)}</span>
        <span class="quiet">${isDesk || !one.capacity ? "" : t("responders.load", { load: one.load, capacity: one.capacity })}</span></td>
    </tr>`;
}

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

export function Responders() {
  const data = detail.value?.id === opened.value ? detail.value?.data : null;
  const now = data?.candidates_now ?? [];
  const decision = data?.decision;
  const then = (decision?.candidates ?? []).map((one) => (decision.rule === "operator" && decision.responder ? withChoice(one, decision.responder) : one));
  return html`
    <section class="responders" aria-label=${t("responders.title")}>
      <header><h2>${t("responders.title")}</h2>
        ${data && now.length > 0 && html`<button onClick=${() => openForm(opened.value, "dispatch")}><kbd>D</kbd>${label("action", "dispatch")}</button>`}
      </header>
      <div class="responders-body">
        ${!data && html`<p class="quiet">${t("responders.none_open")}</p>`}
        ${data && html`<h3>${t("responders.now")}</h3>`}
        ${data && (now.length ? html`<${Table} list=${now} caption=${t("responders.now")} words="verdict_now" />` : html`<p class="quiet">${t("responders.nobody")}</p>`)}
        ${decision && html`
          <h3>${t("decision.title")} <span class="quiet"><${Time} at=${decision.at} /> · ${label("rule", decision.rule)}</span></h3>
          <${Table} list=${then} caption=${t("decision.title")} words="verdict" />
          <p class="quiet small">${t("decision.register", { version: decision.register })}${decision.position ? ` · ${t("decision.position", { source: label("position", decision.position.source) })}` : ` · ${t("decision.no_position")}`}</p>`}
        ${data && html`<p class="quiet small">${t("about.note")}</p>`}
      </div>
    </section>`;
}
