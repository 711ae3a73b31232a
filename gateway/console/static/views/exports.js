// Taking data out of the house: what, of which time, masked or in full, and why; and what was taken before.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { label, t } from "../i18n.js";
import { postJson } from "../past.js";
import { question } from "../reading.js";
import { Time, html } from "../ui.js";
import { asInstant } from "./fields.js";

const LONG_MS = 180_000; // a year of a city takes a minute to write
const DAY_MS = 86_400_000;
const FORMATS = ["csv", "jsonl"];

const days = new Intl.DateTimeFormat("sv-SE", { timeZone: "Asia/Shanghai", dateStyle: "short" });
const dayOf = (when) => days.format(typeof when === "number" ? when : Date.parse(when));

const earlier = question();
const wish = signal({ what: "", format: "csv", masked: "yes", from: "", to: "", reason: "" });
const outcome = signal({ text: "", isError: false, busy: false });

const set = (name, value) => { wish.value = { ...wish.value, [name]: value }; };
const load = () => earlier.ask("/api/v1/exports");

async function take(event, may) {
  event.preventDefault();
  if (outcome.value.busy) return;
  const { what, format, masked, from, to, reason } = wish.value;
  const body = {
    what: what || may[0], format, masked: masked === "yes", reason: reason.trim(),
    from: asInstant(from ? `${from}T00:00` : ""), to: to ? new Date(Date.parse(asInstant(`${to}T00:00`)) + DAY_MS).toISOString() : null,
  };
  if (body.reason.length < 4) {
    outcome.value = { text: t("history.say_why"), isError: true, busy: false };
    return;
  }
  outcome.value = { text: t("exports.writing"), isError: false, busy: true };
  try {
    const said = await postJson("/api/v1/exports", body, { patience: LONG_MS });
    const link = document.createElement("a");
    link.href = `/api/v1/exports/${said.ticket}`;
    link.download = said.name;
    link.click();
    outcome.value = { text: t(said.cut ? "exports.cut" : "exports.taken", { n: said.rows, name: said.name, sha: said.sha256.slice(0, 16) }), isError: said.cut, busy: false };
    wish.value = { ...wish.value, reason: "" };
    load();
  } catch (error) {
    outcome.value = { text: error.message, isError: true, busy: false };
  }
}

function Pick({ name, options, text, value }) {
  return html`<label class="field"><span>${t(`exports.${name}`)}</span><select name=${name} value=${value} onChange=${(event) => set(name, event.target.value)}>
    ${options.map((one) => html`<option key=${one} value=${one}>${text(one)}</option>`)}</select></label>`;
}

export function Exports() {
  useEffect(() => { load(); }, []);
  const { data, error } = earlier.state.value;
  if (!data) return error ? html`<p class="error">${error}</p>` : html`<p class="quiet">${t("form.loading")}</p>`;
  const one = wish.value;
  const what = one.what || data.may[0];
  const mayFull = data.full && what !== "audit";
  const day = (name) => html`<label class="field"><span>${t(`exports.${name}`)}<b class="required">*</b></span><input type="date" name=${`export_${name}`} value=${one[name]} onInput=${(event) => set(name, event.target.value)} /></label>`;
  return html`<section class="exports">
    <form class="work export" onSubmit=${(event) => take(event, data.may)} autocomplete="off" novalidate aria-label=${t("exports.title")}>
      <h3>${t("exports.title")}</h3>
      <div class="export-fields">
        <${Pick} name="what" options=${data.may} value=${what} text=${(name) => t(`exports.what_${name}`)} />
        ${day("from")}${day("to")}
        <${Pick} name="format" options=${FORMATS} value=${one.format} text=${(name) => t(`exports.format_${name}`)} />
        <${Pick} name="masked" options=${mayFull ? ["yes", "no"] : ["yes"]} value=${mayFull ? one.masked : "yes"} text=${(name) => t(`exports.masked_${name}`)} />
      </div>
      <label class="field"><span>${t("exports.reason")}<b class="required">*</b></span><textarea name="export_reason" rows="2" maxlength="500" value=${one.reason} onInput=${(event) => set("reason", event.target.value)}></textarea></label>
      <p class="quiet small">${t("exports.explain", { n: data.rows_at_most })}</p>
      <p class=${outcome.value.isError ? "error" : "quiet"} role="status">${outcome.value.text}</p>
      <div class="form-foot"><button type="submit" class="primary" disabled=${outcome.value.busy}>${t("exports.take")} <kbd>Ctrl+Enter</kbd></button></div>
    </form>
    <h3>${t("exports.earlier")}</h3>
    ${data.exports.length === 0 ? html`<p class="quiet">${t("exports.none")}</p>` : html`<table aria-label=${t("exports.earlier")}>
      <thead><tr>${["at", "actor", "what", "period", "rows", "masked", "reason", "sha"].map((name) => html`<th scope="col" key=${name}>${t(`exports.column_${name}`)}</th>`)}</tr></thead>
      <tbody>${data.exports.map(({ seq, at, actor, object, reason, detail }) => html`<tr key=${seq}>
        <td><${Time} at=${at} /></td><td>${actor}</td><td>${detail.what === "printout" ? `${t("exports.what_printout")} ${detail.incident}` : label("exports", `what_${detail.what}`) || object}</td>
        <td>${detail.since ? `${dayOf(detail.since)} – ${dayOf(Date.parse(detail.until) - 1000)}` : "–"}</td>
        <td>${detail.rows ?? "–"}</td><td>${t(detail.masked === false ? "exports.masked_no" : "exports.masked_yes")}</td><td>${reason ?? ""}</td>
        <td><code title=${detail.sha256 ?? ""}>${(detail.sha256 ?? "–").slice(0, 10)}</code></td></tr>`)}</tbody></table>`}
  </section>`;
}
