// One's own account: password, PIN of the lock screen, second factor, log in again before the end. Opened from the name in the bar.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { changePassword, changePin, lock, logIn, logOut, ownShown, totp } from "../access.js";
import { clockTime } from "../clock.js";
import { newKey, notice, post } from "../commands.js";
import { label, t } from "../i18n.js";
import { session } from "../store.js";
import { html } from "../ui.js";
import { SHOWN_MS } from "../work.js";
import { PasswordFields, whyNot } from "./login.js";

const DESK = ["operator", "supervisor"];

function Ask({ id, title, button, explain, onAsk, children }) {
  const [error, setError] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    const form = event.target;
    const fault = await onAsk(new FormData(form));
    setError(fault ?? "");
    if (!fault) form.reset();
  };
  return html`<form class="own-part" id=${id} onSubmit=${submit} autocomplete="off">
    <h3>${title}</h3>
    ${explain && html`<p class="quiet small">${explain}</p>`}
    ${children}
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <button type="submit">${button}</button>
  </form>`;
}

const done = (key) => { notice(() => t(key)); return undefined; };
const said = (answer, key) => (answer.status === 200 ? done(key) : whyNot(answer.body));

function Password() {
  const ask = async (data) => {
    if (data.get("new") !== data.get("again")) return t("access.not_the_same");
    return said(await changePassword(data.get("old"), data.get("new")), "own.password_changed");
  };
  return html`<${Ask} id="own-password" title=${t("own.password")} button=${t("access.set_password")} onAsk=${ask}><${PasswordFields} /></${Ask}>`;
}

function Secret({ id }) {
  return html`<label for=${id}>${t("access.password")}</label><input id=${id} name="password" type="password" maxlength="256" autocomplete="current-password" required />`;
}

function Pin() {
  const has = session.value.pin;
  const drop = async (data) => said(await changePin(data.get("password"), ""), "own.pin_dropped");
  const set = async (data) => said(await changePin(data.get("password"), data.get("pin")), "own.pin_set");
  return html`<${Ask} id="own-pin" title=${t("own.pin")} button=${t("own.set_pin")} explain=${t("own.pin_explain")} onAsk=${set}>
      <label for="pin">${t("own.new_pin")}</label><input id="pin" name="pin" type="password" inputmode="numeric" pattern="[0-9]{4,8}" maxlength="8" autocomplete="off" required />
      <${Secret} id="pin-password" />
    </${Ask}>
    ${has && html`<${Ask} id="own-pin-drop" title=${t("own.drop_pin")} button=${t("own.drop_pin")} onAsk=${drop}><${Secret} id="pin-drop-password" /></${Ask}>`}`;
}

function Totp() {
  const [fresh, setFresh] = useState(null);
  useLayoutEffect(() => { if (fresh) document.getElementById("totp-code")?.focus(); }, [fresh]);
  const enrol = async (data) => {
    const answer = await totp("enrol", { password: data.get("password") });
    if (answer.status !== 200) return whyNot(answer.body);
    setFresh(answer.body);
    return undefined;
  };
  const confirm = async (data) => {
    const answer = await totp("confirm", { code: data.get("code") });
    if (answer.status === 200) setFresh(null);
    return said(answer, "own.totp_on");
  };
  const drop = async (data) => said(await totp("drop", { password: data.get("password") }), "own.totp_off");
  if (session.value.totp) {
    return html`<${Ask} id="own-totp-drop" title=${t("own.totp")} button=${t("own.drop_totp")} explain=${t("own.totp_is_on")} onAsk=${drop}><${Secret} id="totp-password" /></${Ask}>`;
  }
  if (fresh) {
    return html`<${Ask} id="own-totp-confirm" key="confirm" title=${t("own.totp")} button=${t("own.confirm_totp")} explain=${t("own.totp_enter")} onAsk=${confirm}>
      <p><code class="secret" tabindex="0">${fresh.secret.replace(/(.{4})/g, "$1 ").trim()}</code></p>
      <p class="small"><a href=${fresh.address}>${t("own.totp_link")}</a></p>
      <label for="totp-code">${t("access.code")}</label><input id="totp-code" name="code" maxlength="8" inputmode="numeric" autocomplete="one-time-code" required />
    </${Ask}>`;
  }
  return html`<${Ask} id="own-totp" key="enrol" title=${t("own.totp")} button=${t("own.enrol_totp")} explain=${t("own.totp_explain")} onAsk=${enrol}><${Secret} id="totp-password" /></${Ask}>`;
}

const REASONS = ["call_back", "verify_identity", "emergency_service"];

/** Somebody calls from elsewhere and cannot wait: one record, by the number of its incident. Marked, and supervisors are told at once. */
function Emergency() {
  const [found, setFound] = useState(null);
  useEffect(() => {
    if (!found) return undefined;
    const timer = setTimeout(() => setFound(null), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [found]);
  const ask = async (data) => {
    const id = data.get("incident").trim().toUpperCase();
    const answer = await post(`/api/v1/incidents/${encodeURIComponent(id)}/reveal`, { reason: data.get("reason"), text: data.get("text"), emergency: true }, newKey());
    if (answer.status !== 200) return whyNot(answer.body);
    setFound(answer.body);
    return undefined;
  };
  const { person, phones = [], contacts = [], caller } = found ?? {};
  return html`<${Ask} id="own-emergency" title=${t("own.emergency")} button=${t("own.emergency_look")} explain=${t("own.emergency_explain")} onAsk=${ask}>
    <label for="emergency-incident">${t("own.emergency_incident")}</label><input id="emergency-incident" name="incident" maxlength="16" pattern="[Ii][0-9]+" required />
    <label for="emergency-reason">${t("field.reason")}</label><select id="emergency-reason" name="reason">${REASONS.map((one) => html`<option key=${one} value=${one}>${label("reveal_reason", one)}</option>`)}</select>
    <label for="emergency-text">${t("own.emergency_why")}</label><input id="emergency-text" name="text" maxlength="300" required />
    ${found && html`<div class="found" role="status">${person && html`<p><b>${person.name}</b> ${person.address}</p><p>${person.health_note}</p>`}
      <p>${[...phones, caller].filter(Boolean).join(" · ") || "–"}</p>${contacts.map((one) => html`<p key=${one.phone}>${one.relation} ${one.name} ${one.phone}</p>`)}</div>`}
  </${Ask}>`;
}

/** Log in again before the log-in ends; the duty goes on. */
function Renew() {
  const ask = async (data) => {
    const answer = await logIn(session.value.account.login, data.get("password"), data.get("code")?.trim());
    if (answer.status !== 200) return whyNot(answer.body);
    ownShown.value = null;
    return done("own.renewed");
  };
  return html`<${Ask} id="own-renew" title=${t("own.renew")} button=${t("access.log_in")} explain=${t("own.until", { at: clockTime(session.value.until) })} onAsk=${ask}>
    <${Secret} id="renew-password" />
    ${session.value.totp && html`<label for="renew-code">${t("access.code")}</label><input id="renew-code" name="code" maxlength="8" inputmode="numeric" autocomplete="one-time-code" required />`}
  </${Ask}>`;
}

export function Own() {
  const box = useRef();
  useLayoutEffect(() => { // before a field in it can be filled in: the focus is not taken from there again
    const before = document.activeElement;
    (box.current.querySelector(ownShown.value === "renew" ? "#renew-password" : "h2") ?? box.current).focus();
    return () => before?.focus?.();
  }, []);
  const { name, account, own_password: hasPassword } = session.value;
  const shut = () => { ownShown.value = null; };
  return html`
    <div class="help own" role="dialog" aria-modal="true" aria-label=${t("own.title")} ref=${box} tabindex="-1">
      <div class="help-head"><h2 tabindex="-1">${account.name} <span class="quiet">${label("account_role", account.role)} · ${account.login}</span></h2>
        <span><button onClick=${lock}>${t("key.lock")}</button> <button id="log-out" onClick=${logOut}>${t("access.log_out")}</button> <button onClick=${shut}>${t("help.close")} <kbd>Esc</kbd></button></span></div>
      ${hasPassword ? html`<div class="own-parts"><${Password} /><div><${Pin} /></div><div><${Totp} /><${Renew} /></div></div>
        ${name !== null && DESK.includes(account.role) && html`<${Emergency} />`}` : html`<p>${t("own.external")}</p>`}
    </div>`;
}
