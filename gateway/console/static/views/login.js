// Before anything is shown: log in, or the first password of one's own, or the command that makes the first account.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { changePassword, ended, logIn, logOut } from "../access.js";
import { LANGUAGES, language, reasonText, t, useLanguage } from "../i18n.js";
import { session } from "../store.js";
import { html } from "../ui.js";
import { districtName } from "./bar.js";

const COMMAND = "gateway account add LOGIN --name NAME --role admin";

export function OtherLanguage() {
  const other = LANGUAGES.find((name) => name !== language.value);
  return html`<button type="button" class="language" lang=${other} onClick=${() => useLanguage(other)}>${t("bar.other_language")}</button>`;
}

/** The card in the middle of an empty screen, with whose console it is. */
export function Card({ children, onSubmit }) {
  return html`<main class="duty access">
    <form onSubmit=${onSubmit} autocomplete="off">
      <h1>${t("bar.title")}</h1>
      <p class="district">${districtName()} <span class="quiet">${session.value?.version ?? ""}</span></p>
      ${session.value?.secure === false && html`<p class="plain">${t("access.plain")}</p>`}
      ${children}
      <${OtherLanguage} />
    </form>
  </main>`;
}

/** What an OpenID provider's page has sent us home with: read once, and taken out of the address. */
function saidBefore() {
  const found = /^#log-in=([a-z_]{1,40})$/.exec(location.hash);
  if (found) history.replaceState(null, "", location.pathname);
  return found ? reasonText({ reason: found[1] }) : "";
}

export function Login() {
  const [error, setError] = useState(saidBefore);
  const [wantsCode, setWantsCode] = useState(false);
  const [isAsking, setAsking] = useState(false);
  const first = useRef();
  const code = useRef();
  useLayoutEffect(() => (wantsCode ? code.current?.focus() : first.current?.focus()), [wantsCode]);
  if (session.value.no_accounts && !session.value.oidc) {
    return html`<${Card}><p>${t("access.no_accounts")}</p><pre class="command" tabindex="0">${COMMAND}</pre><p class="quiet small">${t("access.no_accounts_more")}</p>
      <button type="button" class="primary" onClick=${() => location.reload()}>${t("access.again")}</button></${Card}>`;
  }
  const submit = async (event) => {
    event.preventDefault();
    const data = new FormData(event.target);
    setAsking(true);
    const answer = await logIn(data.get("login").trim(), data.get("password"), data.get("code")?.trim());
    setAsking(false);
    if (answer.status === 200) return;
    setWantsCode(wantsCode || answer.body.reason === "code_wanted");
    setError(answer.body.reason === "code_wanted" ? "" : whyNot(answer.body));
  };
  return html`<${Card} onSubmit=${submit}>
    ${ended.value && html`<p class="ended" role="alert">${t("access.ended")}</p>`}
    <label for="login">${t("access.login")}</label>
    <input id="login" name="login" maxlength="64" autocapitalize="none" spellcheck="false" autocomplete="username" required ref=${first} />
    <label for="password">${t("access.password")}</label>
    <input id="password" name="password" type="password" maxlength="256" autocomplete="current-password" required />
    ${wantsCode && html`<label for="code">${t("access.code")}</label>
      <input id="code" name="code" maxlength="8" inputmode="numeric" autocomplete="one-time-code" required ref=${code} />`}
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <button type="submit" class="primary" disabled=${isAsking}>${t("access.log_in")}</button>
    ${session.value.oidc && html`<a class="button" id="oidc" href="/api/v1/oidc/start">${t("access.log_in_with", { name: session.value.oidc })}</a>`}
  </${Card}>`;
}

/** Why a secret was not taken, with minutes in place of seconds. */
export function whyNot(body) {
  return reasonText({ ...body, minutes: body.retry_s ? Math.ceil(body.retry_s / 60) : "" });
}

/** A password of one's own, twice. */
export function FirstPassword() {
  const [error, setError] = useState("");
  const first = useRef();
  useLayoutEffect(() => first.current?.focus(), []);
  const submit = async (event) => {
    event.preventDefault();
    const data = new FormData(event.target);
    if (data.get("new") !== data.get("again")) return setError(t("access.not_the_same"));
    const answer = await changePassword(data.get("old"), data.get("new"));
    return answer.status === 200 ? undefined : setError(whyNot(answer.body));
  };
  return html`<${Card} onSubmit=${submit}>
    <p>${t("access.first_password", { name: session.value.account.name })}</p>
    <${PasswordFields} first=${first} />
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <button type="submit" class="primary">${t("access.set_password")}</button>
    <button type="button" onClick=${logOut}>${t("access.log_out")}</button>
  </${Card}>`;
}

export function PasswordFields({ first }) {
  return html`
    <label for="old">${t("access.old_password")}</label>
    <input id="old" name="old" type="password" maxlength="256" autocomplete="current-password" required ref=${first} />
    <label for="new">${t("access.new_password")}</label>
    <input id="new" name="new" type="password" maxlength="256" autocomplete="new-password" required aria-describedby="new-rule" />
    <label for="again">${t("access.password_again")}</label>
    <input id="again" name="again" type="password" maxlength="256" autocomplete="new-password" required />
    <p id="new-rule" class="quiet small">${t("access.password_rule")}</p>`;
}
