// Going on duty: the click that lets the page sound. Without accounts a name is asked, which nobody verifies, and the page says so.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { logOut } from "../access.js";
import { deskExtension, setDuty } from "../commands.js";
import { label, reasonText, t } from "../i18n.js";
import { session } from "../store.js";
import { unlock } from "../sound.js";
import { html } from "../ui.js";
import { Card } from "./login.js";

const NAME_LIMIT = 32;

export function Duty() {
  const [error, setError] = useState("");
  const field = useRef();
  useLayoutEffect(() => field.current.focus(), []);
  const { account, verified } = session.value;
  const submit = async (event) => {
    event.preventDefault();
    const data = new FormData(event.target);
    const name = verified ? account.name : data.get("name").trim();
    if (!name) {
      setError(t("duty.name_missing"));
      return;
    }
    unlock(true); // before anything is awaited: it must still count as the user's click
    const answer = await setDuty(name, data.get("extension").trim());
    setError(answer.status === 200 ? "" : reasonText(answer.body));
  };
  return html`<${Card} onSubmit=${submit}>
    ${verified ? html`<p class="who"><strong>${account.name}</strong> <span class="quiet">${label("account_role", account.role)}</span></p>` : html`
      <label for="duty-name">${t("duty.name")}</label>
      <input id="duty-name" name="name" maxlength=${NAME_LIMIT} ref=${field} />`}
    <label for="duty-extension">${t("duty.extension")}</label>
    <input id="duty-extension" name="extension" maxlength="16" defaultValue=${deskExtension()} />
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <button type="submit" id="duty-start" class="primary" ref=${verified ? field : undefined}>${t("duty.start")}</button>
    <p class="quiet small">${t(verified ? "duty.explain_verified" : "duty.explain")}</p>
    ${verified && html`<button type="button" onClick=${logOut}>${t("access.log_out")}</button>`}
  </${Card}>`;
}
