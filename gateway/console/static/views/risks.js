// Risk warnings: what will go wrong unless somebody acts, by rule, with its figures and what to do; and that somebody has seen to it.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { notice, rule as ask } from "../commands.js";
import { t } from "../i18n.js";
import { question } from "../reading.js";
import { Ago, html } from "../ui.js";
import { AskForm, Text } from "./fields.js";
import { Ops } from "./ops.js";

const READ_MS = 30_000; // they are looked for once a minute
const NOTE_LIMIT = 500; // as the core has it

const all = question();
const seeing = signal(null); // the warning whose form is open
const shown = signal("waiting");

const load = () => all.ask("/api/v1/risks");
const nameOf = (one) => (one.concern === "desk" ? t("risk.desk") : one.name);
const keyOf = (one) => `${one.rule} ${one.line ?? ""} ${one.id}`;

function Seen({ one }) {
  const submit = async (values) => {
    const answer = await ask(nameOf(one), "risks/seen", { rule: one.rule, id: one.id, ...(one.line ? { line: one.line } : {}), note: (values.risk_note ?? "").trim() });
    if (!answer.ok) return false;
    notice(() => `${t(`risk_rule.${one.rule}`)} · ${nameOf(one)} ✓`);
    load();
    return true;
  };
  const fields = (props) => html`<${Text} name="risk_note" rows=${2} limit=${NOTE_LIMIT} ...${props} />`;
  return html`<${AskForm} key=${keyOf(one)} name="risk" title=${`${t(`risk_rule.${one.rule}`)} · ${nameOf(one)}`} fields=${fields} check=${() => null} submit=${submit} close=${() => { seeing.value = null; }} />`;
}

function Row({ one }) {
  const place = [one.model, one.line, one.area_name].filter(Boolean).join(" · ");
  return html`<tr class=${one.seen_by ? "over" : ""}>
    <td><b>${nameOf(one)}</b>${place && html` <span class="quiet">${place}</span>`}</td>
    <td>${t(`risk_fact.${one.rule}`, one.facts)}</td>
    <td><${Ago} at=${one.at} /></td>
    <td>${one.seen_by ? html`<span class="good">${one.seen_by}</span> <span class="quiet"><${Ago} at=${one.seen_at} />${one.note && ` · ${one.note}`}</span>` : html`<span class="quiet">${t("risk.nobody_yet")}</span>`}</td>
    <td class="do"><button class="small" onClick=${() => { seeing.value = one; }}>${t(one.seen_by ? "risk.note" : "risk.see")}<span class="unseen"> ${nameOf(one)}</span></button></td></tr>`;
}

function Table({ name, rows }) {
  return html`<section class="risk-rule"><h3>${t(`risk_rule.${name}`)} <span class="quiet">${rows.length}</span></h3>
    <p class="quiet">${t(`risk_do.${name}`)}</p>
    <table aria-label=${t(`risk_rule.${name}`)}><thead><tr>${["subject", "figures", "since", "seen", "action"].map((head) => html`<th scope="col" key=${head}>${t(`risk.${head}`)}</th>`)}</tr></thead>
      <tbody>${rows.map((one) => html`<${Row} key=${keyOf(one)} one=${one} />`)}</tbody></table></section>`;
}

/** In the order in which the rules' first rows come: unseen and worst first. */
const byRule = (rows) => {
  const found = new Map();
  for (const one of rows) found.set(one.rule, [...(found.get(one.rule) ?? []), one]);
  return [...found];
};

export function Risks() {
  useEffect(() => {
    load();
    const timer = setInterval(load, READ_MS);
    return () => clearInterval(timer);
  }, []);
  const state = all.state.value;
  const { data } = state;
  const waiting = data ? data.risks.filter((one) => !one.seen_by) : [];
  const rows = shown.value === "waiting" ? waiting : data?.risks ?? [];
  const tab = (name, count) => html`<button key=${name} aria-pressed=${shown.value === name} onClick=${() => { shown.value = name; }}>${t(`risk.${name}`)} ${count}</button>`;
  return html`<${Ops} name="risks" state=${state} again=${load}>
    ${data && html`
    <p class="risk-lead">${t("risk.explain")}</p>
    <div class="filters desk-tabs">${tab("waiting", waiting.length)}${tab("every", data.risks.length)}</div>
    ${seeing.value && html`<${Seen} one=${seeing.value} />`}
    ${!data.enabled && html`<p class="flag-line">${t("risk.off")}</p>`}
    ${rows.length === 0 ? html`<p class="nothing-here">${t("risk.none")}</p>` : byRule(rows).map(([name, some]) => html`<${Table} key=${name} name=${name} rows=${some} />`)}`}
  <//>`;
}
