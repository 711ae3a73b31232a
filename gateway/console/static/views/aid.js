// Mutual aid: which agreements are in force, who takes no more or cannot be reached, places of each district; and ruling about each.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { notice, rule } from "../commands.js";
import { label, t } from "../i18n.js";
import { question } from "../reading.js";
import { Time, html } from "../ui.js";
import { AskForm, Line, ReasonField, When, asInstant } from "./fields.js";
import { Ops } from "./ops.js";

const all = question();
const asking = signal(null); // {matter, subject, name, value, title}: the ruling whose form is open; subject "" is asked for

const load = () => all.ask("/api/v1/aid");

const UntilFields = (props) => html`<${ReasonField} ...${props} /><${When} name="until" ...${props} />`;
const LostFields = (props) => html`<${Line} name="lost_responder" required=${true} ...${props} /><${UntilFields} ...${props} />`;

function Ruling({ wish }) {
  const submit = async (values) => {
    const subject = wish.subject || values.lost_responder.trim();
    const until = asInstant(values.until);
    const answer = await rule(wish.name || subject, `aid/${wish.matter}/${encodeURIComponent(subject)}`, { value: wish.value, reason: values.reason.trim(), ...(until ? { until } : {}) });
    if (!answer.ok) return false;
    notice(() => `${wish.name || subject}: ${wish.title} ✓`);
    load();
    return true;
  };
  const fields = wish.subject === "" ? LostFields : wish.value ? UntilFields : ReasonField;
  const check = (values) => (wish.subject === "" && !values.lost_responder?.trim() ? "missing_responder" : values.reason?.trim() ? null : "missing_reason");
  return html`<${AskForm} key=${`${wish.matter} ${wish.subject} ${wish.value}`} name="aid" title=${`${wish.title}${wish.name ? ` · ${wish.name}` : ""}`} fields=${fields} check=${check} submit=${submit} close=${() => { asking.value = null; }} />`;
}

/** A button that opens the form of a ruling. */
function Ask({ matter, subject, name, value, title }) {
  return html`<button class="small" onClick=${() => { asking.value = { matter, subject, name, value, title }; }}>${title}<span class="unseen"> ${name}</span></button>`;
}

const byText = (one) => (one.actor === "gateway" ? t("ruling.machine") : one.actor);
const becauseText = (one) => (one.actor === "gateway" ? label("ruling_reason", one.reason) : one.reason);
const endText = (one) => one.until && html` · ${t("ruling.until")} <${Time} at=${one.until} />`;

function Agreement({ one }) {
  const { ruled } = one;
  const holds = ruled?.holds ? ruled : null;
  return html`<tr class=${one.in_force ? "" : "over"}>
    <td><b>${one.id}</b>${one.model ? html` <span class="quiet">${t("aid.model")}</span>` : ""}</td>
    <td>${one.helper_name} ${one.both ? "⇄" : "→"} ${one.helped_name}</td>
    <td>${one.kinds.map((kind) => label("aid_kind", kind)).join(" ")} <span class="quiet">${one.duties}</span></td>
    <td>${t("aid.within", { n: one.response_min })}</td>
    <td>${one.since} – ${one.until}</td>
    <td><span class=${`aid-state ${!one.in_force || holds?.value === "closed" ? "off" : "on"}`}>${holds ? label("aid_ruled", holds.value) : t(one.in_force ? "aid.in_force" : "aid.not_in_force")}</span>
      ${holds && html` <span class="quiet">${becauseText(holds)} · ${byText(holds)}${endText(holds)}</span>`}</td>
    <td class="do">${holds
      ? html`<${Ask} matter="aid" subject=${one.id} name=${one.id} value="" title=${t("aid.lift")} />`
      : one.in_force && html`<${Ask} matter="aid" subject=${one.id} name=${one.id} value="called" title=${t("aid.call")} /> <${Ask} matter="aid" subject=${one.id} name=${one.id} value="closed" title=${t("aid.close")} />`}</td>
  </tr>`;
}

function Ruled({ matter, list }) {
  const standing = list.filter((one) => one.holds);
  return html`<section><h3>${t(`aid.${matter}`)} <span class="quiet">${standing.length || ""}</span></h3>
    ${standing.length === 0 ? html`<p class="quiet">${t("aid.nobody")}</p>` : html`<ul class="ruled">${standing.map((one) => html`<li key=${one.key}>
      <b>${one.name}</b>${matter === "guest" ? html` → ${one.value_name}` : ""} <span>${becauseText(one)}</span> <span class="quiet">${byText(one)} <${Time} at=${one.at} />${endText(one)}</span>
      <${Ask} matter=${matter} subject=${one.subject} name=${one.name} value="" title=${t("aid.lift")} /></li>`)}</ul>`}
  </section>`;
}

function Districts({ data }) {
  const full = new Set(data.saturated.filter((one) => one.holds).map((one) => one.subject));
  return html`<section class="districts"><h3>${t("aid.places")}</h3><table aria-label=${t("aid.places")}>
    <thead><tr>${["district", "taken", "free"].map((name) => html`<th scope="col" key=${name}>${t(`aid.${name}`)}</th>`)}<th scope="col">${t("watch.actions")}</th></tr></thead>
    <tbody>${Object.entries(data.districts).map(([id, one]) => html`<tr key=${id}>
      <td><b>${one.name}</b>${full.has(id) ? html` <span class="flag">${t("aid.full")}</span>` : ""}</td>
      <td><meter min="0" max=${Math.max(1, one.places)} value=${one.taken} aria-label=${one.name}></meter> ${one.taken}/${one.places}</td>
      <td>${one.places - one.taken}</td>
      <td class="do">${full.has(id) ? "" : html`<${Ask} matter="saturated" subject=${id} name=${one.name} value="saturated" title=${t("aid.saturate")} />`}</td></tr>`)}</tbody>
  </table></section>`;
}

export function Aid() {
  useEffect(() => { load(); }, []);
  const state = all.state.value;
  const { data } = state;
  return html`<${Ops} name="aid" state=${state} again=${load}>
    ${asking.value && html`<${Ruling} wish=${asking.value} />`}
    ${data && html`
    <section class="agreements"><h3>${t("aid.agreements")}</h3>
      ${data.agreements.length === 0 ? html`<p class="quiet">${t("aid.no_agreements")}</p>` : html`<table aria-label=${t("aid.agreements")}>
        <thead><tr>${["id", "between", "kinds", "duty", "days", "state"].map((name) => html`<th scope="col" key=${name}>${t(`aid.${name}`)}</th>`)}<th scope="col">${t("watch.actions")}</th></tr></thead>
        <tbody>${data.agreements.map((one) => html`<${Agreement} key=${one.id} one=${one} />`)}</tbody></table>`}
    </section>
    <div class="aid-below"><${Districts} data=${data} />
      <div><${Ruled} matter="saturated" list=${data.saturated} />
        <${Ruled} matter="lost" list=${data.lost} />
        <p><${Ask} matter="lost" subject="" name="" value="lost" title=${t("aid.lose")} /></p>
        <${Ruled} matter="guest" list=${data.guest} /></div></div>`}
  <//>`;
}
