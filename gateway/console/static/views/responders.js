// Who could go now, and how the last order was decided: who was taken, who was passed over, and why.
import { label, t } from "../i18n.js";
import { Time, html, kilometres, travel } from "../ui.js";
import { detail, openForm, opened } from "../work.js";

export function Candidate({ one, number }) {
  return html`
    <tr class=${`candidate ${one.verdict}`}>
      <td class="number">${number}</td>
      <td><b>${one.responder === "desk" ? label("responder_kind", "desk") : one.name}</b> <span class="quiet">${one.responder === "desk" ? "" : label("responder_kind", one.kind)}</span></td>
      <td class="travel">${travel(one.travel_min)}<span class="quiet">${kilometres(one.km)}</span></td>
      <td class="load" title=${t("responders.load")}>${one.capacity ? `${one.load}/${one.capacity > 999 ? "∞" : one.capacity}` : ""}</td>
      <td><span class=${`verdict ${one.verdict}`}>${label("verdict", one.verdict)}</span></td>
    </tr>`;
}

function Table({ list, caption }) {
  return html`<table aria-label=${caption}>
    <thead><tr><th></th><th>${t("responders.name")}</th><th>${t("responders.travel")}</th><th>${t("responders.load")}</th><th>${t("responders.verdict")}</th></tr></thead>
    <tbody>${list.map((one, i) => html`<${Candidate} key=${one.responder} one=${one} number=${i + 1} />`)}</tbody>
  </table>`;
}

export function Responders() {
  const data = detail.value?.id === opened.value ? detail.value?.data : null;
  const now = data?.candidates_now ?? [];
  const decision = data?.decision;
  return html`
    <section class="responders" aria-label=${t("responders.title")}>
      <header><h2>${t("responders.title")}</h2>
        ${data && now.length > 0 && html`<button onClick=${() => openForm(opened.value, "dispatch")}><kbd>D</kbd>${label("action", "dispatch")}</button>`}
      </header>
      <div class="responders-body">
        ${!data && html`<p class="quiet">${t("responders.none_open")}</p>`}
        ${data && html`<h3>${t("responders.now")}</h3>`}
        ${data && (now.length ? html`<${Table} list=${now} caption=${t("responders.now")} />` : html`<p class="quiet">${t("responders.nobody")}</p>`)}
        ${decision && html`
          <h3>${t("decision.title")} <span class="quiet"><${Time} at=${decision.at} /> · ${label("rule", decision.rule)}</span></h3>
          <${Table} list=${decision.candidates ?? []} caption=${t("decision.title")} />
          <p class="quiet small">${t("decision.register", { version: decision.register })}${decision.position ? ` · ${t("decision.position", { source: label("position", decision.position.source) })}` : ` · ${t("decision.no_position")}`}</p>`}
        ${data && html`<p class="quiet small">${t("about.note")}</p>`}
      </div>
    </section>`;
}
