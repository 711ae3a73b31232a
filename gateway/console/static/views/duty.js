// Going on duty: a name, and the click that lets the page sound. Names are not verified yet, and the page says so.
import { useEffect, useRef, useState } from "preact/hooks";
import { deskExtension, setDuty } from "../commands.js";
import { reasonText, t, language, LANGUAGES, useLanguage } from "../i18n.js";
import { session } from "../store.js";
import { unlock } from "../sound.js";
import { html } from "../ui.js";
import { districtName } from "./bar.js";

const NAME_LIMIT = 32;

export function Duty() {
  const [error, setError] = useState("");
  const field = useRef();
  useEffect(() => field.current.focus(), []);
  const other = LANGUAGES.find((name) => name !== language.value);
  const submit = async (event) => {
    event.preventDefault();
    const data = new FormData(event.target);
    const name = data.get("name").trim();
    if (!name) {
      setError(t("duty.name_missing"));
      return;
    }
    unlock(true); // before anything is awaited: it must still count as the user's click
    const answer = await setDuty(name, data.get("extension").trim());
    setError(answer.status === 200 ? "" : reasonText(answer.body));
  };
  return html`
    <main class="duty">
      <form onSubmit=${submit} autocomplete="off">
        <h1>${t("bar.title")}</h1>
        <p class="district">${districtName()} <span class="quiet">${session.value?.version ?? ""}</span></p>
        <label for="duty-name">${t("duty.name")}</label>
        <input id="duty-name" name="name" maxlength=${NAME_LIMIT} ref=${field} />
        <label for="duty-extension">${t("duty.extension")}</label>
        <input id="duty-extension" name="extension" maxlength="16" defaultValue=${deskExtension()} />
        ${error && html`<p class="error" role="alert">${error}</p>`}
        <button type="submit" class="primary">${t("duty.start")}</button>
        <p class="quiet small">${t("duty.explain")}</p>
        <button type="button" class="language" lang=${other} onClick=${() => useLanguage(other)}>${t("bar.other_language")}</button>
      </form>
    </main>`;
}
