// Who may log in: the list, one account with what may be done to it, a new one. A one-time password is shown this once.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { notice } from "../commands.js";
import { label, t } from "../i18n.js";
import { postJson } from "../past.js";
import { question } from "../reading.js";
import { Time, html } from "../ui.js";
import { Ops } from "./ops.js";

const ROLES = ["operator", "supervisor", "ops", "admin", "auditor", "wall", "citizen"];
const NEW = { login: "", name: "", role: "operator", areas: [], external: "", isNew: true };

const listed = question();
/** The account that is open, as its form has it; null: none. */
const chosen = signal(null);
const sessions = signal([]);
/** {login, password}: told once, gone with the next choice. */
const oneTime = signal(null);
const problem = signal("");

const load = () => listed.ask("/api/v1/accounts");

function choose(account) {
  chosen.value = account && { ...account, areas: [...account.areas] };
  oneTime.value = null;
  problem.value = "";
  sessions.value = [];
  if (account && !account.isNew && account.sessions > 0) ask("sessions", { login: account.login });
}

/** Ask for a change of accounts; what it answers is shown. Returns whether it was done. */
async function ask(what, body) {
  problem.value = "";
  const isOpen = () => chosen.value?.login.trim() === body.login; // else somebody else was chosen while it was under way
  try {
    const said = await postJson(`/api/v1/accounts${what ? `/${what}` : ""}`, body);
    if (said.sessions && isOpen()) sessions.value = said.sessions;
    if (said.one_time_password) oneTime.value = { login: said.account.login, password: said.one_time_password };
    if (said.account) {
      if (isOpen()) chosen.value = { ...said.account, areas: [...said.account.areas] };
      notice(() => t("accounts.done", { name: said.account.name }));
      await load();
    }
    return true;
  } catch (error) {
    if (isOpen()) problem.value = error.message;
    return false;
  }
}

const set = (name, value) => { chosen.value = { ...chosen.value, [name]: value }; };

function save(event) {
  event.preventDefault();
  const { isNew, login, name, role, areas, external } = chosen.value;
  if (isNew) return ask("", { login: login.trim(), name: name.trim(), role, areas });
  return ask("change", { login, name: name.trim(), role, areas, external: external.trim() });
}

const stateOf = (one) => [
  one.disabled && t("accounts.disabled"), one.locked_out && t("accounts.locked_out"), one.must_change && t("accounts.must_change"),
  one.totp && t("accounts.totp"), one.external && t("accounts.openid"), one.sessions > 0 && t("accounts.sessions_n", { n: one.sessions }),
].filter(Boolean).join(" · ");

function areaText(areas, known) {
  return areas.length === 0 ? t("accounts.everywhere") : areas.map((id) => known.get(id) ?? id).join(" · ");
}

function List({ accounts, known }) {
  return html`<table class="accounts-list" aria-label=${t("view.accounts")}>
    <thead><tr><th>${t("accounts.name")}</th><th>${t("accounts.login")}</th><th>${t("accounts.role")}</th><th>${t("accounts.areas")}</th><th>${t("accounts.state")}</th></tr></thead>
    <tbody>${accounts.map((one) => html`<tr key=${one.login} class=${one.disabled ? "off" : ""}>
      <td><button class="row" aria-pressed=${chosen.value?.login === one.login ? "true" : "false"} onClick=${() => choose(one)}>${one.name}</button></td>
      <td>${one.login}</td><td>${label("account_role", one.role)}</td><td>${areaText(one.areas, known)}</td><td>${stateOf(one)}</td></tr>`)}</tbody>
  </table>`;
}

function Areas({ all }) {
  const { areas } = chosen.value;
  const toggle = (id) => set("areas", areas.includes(id) ? areas.filter((one) => one !== id) : [...areas, id]);
  return html`<fieldset class="field"><legend>${t("accounts.areas")}</legend>
    <div class="accounts-areas">${all.map((one) => html`<label key=${one.id}><input type="checkbox" checked=${areas.includes(one.id)} onChange=${() => toggle(one.id)} /> ${one.name}</label>`)}</div>
    <p class="quiet small">${t("accounts.areas_explain")}</p></fieldset>`;
}

function Sessions() {
  const { login } = chosen.value;
  if (sessions.value.length === 0) return null;
  return html`<section><h3>${t("accounts.sessions")}</h3><ul class="accounts-sessions">
    ${sessions.value.map((one) => html`<li key=${one.session}><span>${one.address || "–"} · <${Time} at=${one.opened_at} />${one.duty ? ` · ${t("accounts.on_duty")}` : ""}${one.locked ? ` · ${t("accounts.locked")}` : ""}</span>
      <button class="small" onClick=${() => ask("end_session", { login, session: one.session }).then(load)}>${t("accounts.end_session")}</button></li>`)}
  </ul></section>`;
}

function Deeds() {
  const one = chosen.value;
  const deeds = [
    one.disabled ? ["enable"] : ["disable"],
    !one.external && ["reset_password"],
    one.totp && ["reset_totp"],
    one.locked_out && ["unlock"],
  ].filter(Boolean);
  return html`<div class="accounts-deeds">${deeds.map(([what]) => html`<button type="button" key=${what} onClick=${() => ask(what, { login: one.login })}>${t(`accounts.${what}`)}</button>`)}</div>`;
}

function One({ areas }) {
  const one = chosen.value;
  const line = (name, limit, more = {}) => html`<label class="field"><span>${t(`accounts.${name}`)}</span>
    <input name=${`account_${name}`} maxlength=${limit} value=${one[name]} onInput=${(event) => set(name, event.target.value)} ...${more} /></label>`;
  return html`<section class="accounts-one" aria-label=${one.isNew ? t("accounts.new") : one.name}>
    <h3>${one.isNew ? t("accounts.new") : `${one.name} (${one.login})`}</h3>
    ${oneTime.value && html`<p class="one-time" role="alert">${t("accounts.one_time", { login: oneTime.value.login })} <code>${oneTime.value.password}</code></p>`}
    <form onSubmit=${save} autocomplete="off">
      ${one.isNew && line("login", 32, { required: true, autocapitalize: "none", spellcheck: false })}
      ${line("name", 32, { required: true })}
      <label class="field"><span>${t("accounts.role")}</span><select name="account_role" value=${one.role} onChange=${(event) => set("role", event.target.value)}>
        ${ROLES.map((role) => html`<option key=${role} value=${role}>${label("account_role", role)}</option>`)}</select></label>
      <p class="quiet small">${label("account_explain", one.role)}</p>
      <${Areas} all=${areas} />
      ${!one.isNew && line("external", 460, { placeholder: "https://…#…" })}
      ${problem.value && html`<p class="error" role="alert">${problem.value}</p>`}
      <button type="submit" class="primary">${t(one.isNew ? "accounts.create" : "accounts.save")}</button>
    </form>
    ${!one.isNew && html`<${Deeds} /><${Sessions} />`}
  </section>`;
}

export function Accounts() {
  useEffect(() => {
    load();
    return () => choose(null);
  }, []);
  const { data } = listed.state.value;
  const areas = data?.areas ?? [];
  const known = new Map(areas.map((one) => [one.id, one.name]));
  return html`<${Ops} name="accounts" state=${listed.state.value} again=${load}>
    <div class="accounts-desk">
      <section class="accounts-all"><p class="quiet">${t("accounts.explain")}</p>
        <button class="primary" onClick=${() => choose(NEW)}>${t("accounts.new")}</button>
        ${data && html`<${List} accounts=${data.accounts} known=${known} />`}</section>
      ${chosen.value ? html`<${One} areas=${areas} />` : html`<p class="quiet accounts-none">${t("accounts.none_chosen")}</p>`}
    </div>
  </${Ops}>`;
}
