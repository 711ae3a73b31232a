// The log of who saw and did what, for the auditor: filters, pages, the proof that nobody has changed it, and taking it out.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { clockTime } from "../clock.js";
import { label, t } from "../i18n.js";
import { pastQuestion, postJson } from "../past.js";
import { question } from "../reading.js";
import { Time, html } from "../ui.js";
import { Exports } from "./exports.js";
import { asInstant } from "./fields.js";
import { Ops } from "./ops.js";

const KINDS = ["access", "account", "viewed", "reveal", "searched", "exported", "listened", "corrected", "ruling", "shift", "note", "broadcast", "purged"];
const COLUMNS = ["at", "kind", "actor", "role", "address", "object", "field", "reason", "result"];
const DAY_MS = 86_400_000;
const LOOK_MS = 700; // how often a proof under way is asked after

const log = pastQuestion();
const chain = question();
const filter = signal({ kind: "", actor: "", about: "", since: "", until: "" });
const isExporting = signal(false);

const set = (name, value) => { filter.value = { ...filter.value, [name]: value }; };

function load(after = null) {
  const { kind, actor, about, since, until } = filter.value;
  const body = {
    kinds: kind ? [kind] : [], actor: actor.trim(), about: about.trim(), since: asInstant(since ? `${since}T00:00` : ""),
    until: until ? new Date(Date.parse(asInstant(`${until}T00:00`)) + DAY_MS).toISOString() : null, after,
  };
  return log.ask("/api/v1/audit", body, (data, before) => (after ? { ...data, entries: [...(before?.entries ?? []), ...data.entries] } : data));
}

async function follow() {
  await chain.ask("/api/v1/audit/verify");
  const proof = chain.state.value.data?.proof;
  if (proof && !proof.ended) setTimeout(follow, LOOK_MS);
}

async function prove() {
  try {
    await postJson("/api/v1/audit/verify", {});
  } catch (error) {
    chain.state.value = { ...chain.state.value, error: error.message };
    return;
  }
  follow();
}

function Proof() {
  const { data, error } = chain.state.value;
  const proof = data?.proof;
  const isRunning = Boolean(proof && !proof.ended);
  const said = !proof ? t("audit.never")
    : isRunning ? t("audit.proving", { n: proof.proven, total: proof.total || "…" })
      : proof.failed ? t("audit.unread")
        : proof.broken_at !== null ? t("audit.broken", { n: proof.broken_at, why: label("audit_break", proof.reason) })
          : t("audit.whole", { n: proof.proven, at: clockTime(proof.ended) });
  return html`<section class=${`proof ${proof?.broken_at != null ? "broken" : proof?.ended && !proof.failed ? "whole" : ""}`}><h3>${t("audit.chain")}</h3>
    <p role="status" class=${proof?.broken_at != null || proof?.failed ? "error" : ""}>${error || said}</p>
    <button disabled=${isRunning} onClick=${prove}>${t("audit.verify")}</button></section>`;
}

function Filters() {
  const onSubmit = (event) => {
    event.preventDefault();
    load();
  };
  const line = (name, type = "text", limit = 64) => html`<label class="field"><span>${t(`audit.${name}`)}</span><input type=${type} name=${`audit_${name}`} maxlength=${limit} value=${filter.value[name]} onInput=${(event) => set(name, event.target.value)} /></label>`;
  return html`<form class="audit-fields" onSubmit=${onSubmit} autocomplete="off" aria-label=${t("audit.filters")}>
    <label class="field"><span>${t("audit.kind")}</span><select name="audit_kind" value=${filter.value.kind} onChange=${(event) => { set("kind", event.target.value); load(); }}><option value="">${t("history.any")}</option>
      ${KINDS.map((one) => html`<option key=${one} value=${one}>${one === "note" ? t("audit.duty") : label("kind", one)}</option>`)}</select></label>
    ${line("actor")}${line("about")}${line("since", "date")}${line("until", "date")}
    <div class="history-buttons"><button type="submit" class="primary">${t("history.find")}</button>
      <button type="button" aria-pressed=${isExporting.value ? "true" : "false"} onClick=${() => { isExporting.value = !isExporting.value; }}>${t("exports.title")}</button></div>
  </form>`;
}

const roleText = (name) => (name ? label("account_role", name) : "–");

const fieldText = (text) => (text ?? "").split(", ").map((one) => label("history", one)).join(", ");

function Row({ row }) {
  const kind = row.kind === "note" ? t("audit.duty") : label("kind", row.kind);
  const result = row.result === true ? "✓" : row.result === false ? "✕" : row.result ?? "";
  return html`<tr><td><${Time} at=${row.at} /></td><td><b>${kind}</b></td><td>${row.actor ?? "–"}</td><td>${roleText(row.role)}</td><td>${row.address ?? "–"}</td>
    <td class="object">${row.erased ? t("audit.erased") : `${label("audit_what", row.what)} ${row.object}`}</td><td>${fieldText(row.field)}</td><td>${row.reason ?? ""}</td><td>${String(result)}</td></tr>`;
}

export function Audit() {
  useEffect(() => {
    load();
    follow();
  }, []);
  const state = log.state.value;
  const { data, busy } = state;
  return html`<${Ops} name="audit" state=${state} again=${() => load()}>
    <${Proof} />
    <${Filters} />
    ${isExporting.value && html`<${Exports} />`}
    ${data?.entries.length === 0 && !data.after && html`<p class="nothing-here">${t("audit.none")}</p>`}
    ${data?.entries.length > 0 && html`<table aria-label=${t("view.audit")}><thead><tr>${COLUMNS.map((name) => html`<th scope="col" key=${name}>${t(`audit.column_${name}`)}</th>`)}</tr></thead>
      <tbody>${data.entries.map((row) => html`<${Row} key=${row.seq} row=${row} />`)}</tbody></table>`}
    ${data?.after && html`<button class="more" disabled=${busy} onClick=${() => load(data.after)}>${t("devices.more")}</button>`}
  <//>`;
}
