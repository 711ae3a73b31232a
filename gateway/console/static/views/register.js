// The register: find a record, see where each field of it comes from, correct it; lists, conflicts, data quality, figures and whole files beside it.
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { ask } from "../commands.js";
import { label, t } from "../i18n.js";
import { question } from "../reading.js";
import { role } from "../store.js";
import { html, risks } from "../ui.js";
import { Ops } from "./ops.js";
import { Record, chosen, choose, readAgain, startNew } from "./register_record.js";
import { Conflicts, Facets, Import, Quality, conflicts, loadTab } from "./register_tabs.js";

const KINDS = ["persons", "devices", "responders", "providers", "agreements", "loans"];
const LISTED = ["responders", "providers", "agreements", "loans"];
const TABS = ["find", ...LISTED, "conflicts", "quality", "facets", "import"];
const LEAD = ["supervisor", "local"];
const LEAST = 2;

const tab = signal("find");
const kind = signal("persons");
const found = signal(null); // {rows, more} of the last search
const list = question();

const mine = () => TABS.filter((name) => name !== "import" || LEAD.includes(role.value));
export const isLead = () => LEAD.includes(role.value);

function load(name = tab.value) {
  if (LISTED.includes(name)) list.ask(`/api/v1/register/list/${name}`);
  else if (name !== "find") loadTab(name);
  if (name !== "conflicts") loadTab("conflicts");
}

function show(name) {
  tab.value = name;
  load(name);
}

async function search(event) {
  event.preventDefault();
  const wanted = new FormData(event.target).get("wanted").trim();
  if (wanted.length < LEAST) return;
  const answer = await ask(t("view.register"), "/api/v1/register/search", { wanted, kind: kind.value });
  if (!answer.ok) return;
  found.value = { ...answer.body, kind: kind.value };
  if (answer.body.rows.length === 1) choose(kind.value, answer.body.rows[0].key);
}

function Find() {
  const box = useRef();
  useLayoutEffect(() => box.current.focus({ preventScroll: true }), []);
  const rows = found.value?.rows;
  return html`<form class="register-find" role="search" onSubmit=${search} autocomplete="off">
      <label class="field"><span>${t("register.wanted")}</span><input ref=${box} name="wanted" maxlength="40" /></label>
      <label class="field"><span>${t("register.kind")}</span><select value=${kind.value} onChange=${(event) => { kind.value = event.target.value; found.value = null; }}>
        ${KINDS.map((name) => html`<option key=${name} value=${name}>${t(`register_kind.${name}`)}</option>`)}</select></label>
      <button type="submit" class="primary">${t("register.search")}</button>
      ${isLead() && html`<button type="button" onClick=${() => startNew(kind.value)}>${t("register.new", { kind: t(`register_kind.${kind.value}`) })}</button>`}
    </form>
    <p class="quiet small">${t(`register.hint_${kind.value === "persons" ? "persons" : "others"}`)}</p>
    ${rows?.length === 0 && html`<p class="nothing-here">${t("register.nobody")}</p>`}
    ${rows?.length > 0 && html`<${Rows} rows=${rows} kind=${found.value.kind} />`}
    ${found.value?.more && html`<p class="quiet">${t("register.more")}</p>`}`;
}

const daysText = (one) => (one.since || one.until ? `${one.since ?? "–"} – ${one.until ?? t("providers.no_end")}` : "");

/** What tells a record from others on a list. */
function aside(row) {
  if (row.kind === "persons") return [row.age === null ? "" : t("register.years", { n: row.age }), row.place, risks(row.risks)];
  if (row.kind === "devices") return [row.line, row.owner ?? t("register.no_owner"), row.place];
  if (row.kind === "responders") return [label("responder_kind", row.responder_kind), row.areas?.join(" ")];
  return [row.between?.join(" → "), daysText(row)];
}

function Rows({ rows, kind: name }) {
  return html`<table class="register-rows" aria-label=${t(`register_kind.${name}`)}>
    <thead><tr><th scope="col">${t("register.name")}</th><th scope="col">${t("register.about")}</th><th scope="col">${t("register.id")}</th></tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.key} class=${chosen.value?.kind === row.kind && chosen.value.key === row.key ? "on" : ""}>
      <td><button class="row" onClick=${() => choose(row.kind, row.key)}>${row.title}</button></td>
      <td>${aside(row).filter(Boolean).join(" · ")}</td><td class="quiet">${row.key.split("|").at(-1)}</td></tr>`)}</tbody></table>`;
}

function Listed() {
  const { data } = list.state.value;
  const name = tab.value;
  if (!data || (data.rows[0] && data.rows[0].kind !== name)) return html`<p class="quiet">${t("form.loading")}</p>`;
  return html`
    ${isLead() && html`<p><button onClick=${() => startNew(name)}>${t("register.new", { kind: t(`register_kind.${name}`) })}</button></p>`}
    ${data.rows.length === 0 ? html`<p class="nothing-here">${t("register.nobody")}</p>` : html`<${Rows} rows=${data.rows} kind=${name} />`}
    ${data.after && html`<button class="more" onClick=${() => list.ask(`/api/v1/register/list/${name}?after=${encodeURIComponent(data.after)}`, (more, before) => ({ ...more, rows: [...before.rows, ...more.rows] }))}>${t("devices.more")}</button>`}`;
}

const WIDE = new Set(["facets", "import"]);
const BODIES = { find: Find, conflicts: Conflicts, quality: Quality, facets: Facets, import: Import };

export function Register() {
  useEffect(() => { load(); }, []);
  const Body = BODIES[tab.value] ?? Listed;
  const open = conflicts.state.value.data?.rows.length ?? 0;
  const again = () => {
    load();
    readAgain();
  };
  return html`<${Ops} name="register" state=${conflicts.state.value} again=${again}>
    <div class="filters desk-tabs" role="group" aria-label=${t("register.tabs")}>${mine().map((name) => html`
      <button key=${name} aria-pressed=${tab.value === name ? "true" : "false"} onClick=${() => show(name)}>${LISTED.includes(name) ? t(`register_kind.${name}`) : t(`register.tab_${name}`)}${name === "conflicts" && open > 0 ? html` <b class="flag">${open}</b>` : ""}</button>`)}</div>
    ${WIDE.has(tab.value) ? html`<${Body} />` : html`<div class="ops-main register-main"><section><${Body} /></section><${Record} /></div>`}
  <//>`;
}

