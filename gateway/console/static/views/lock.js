// The lock screen: counts and the state of the link, nobody's name but one's own. Alarms go on sounding from the same counts.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { logOut, unlockScreen } from "../access.js";
import { clockTime, countdown, second } from "../clock.js";
import { link } from "../feed.js";
import { label, t } from "../i18n.js";
import { sound, unlock } from "../sound.js";
import { LEVELS, queueCounter, session } from "../store.js";
import { Mark, html } from "../ui.js";
import { Card, whyNot } from "./login.js";


function Level({ severity, raised }) {
  const count = raised?.count ?? 0;
  return html`<li class=${`lock-level ${severity} ${count ? "raised" : ""}`}><${Mark} severity=${severity} withText=${true} /> <b>${count}</b>
    <span>${count ? t("lock.oldest", { time: countdown(second.value, Date.parse(raised.oldest)) }) : t("lock.none")}</span></li>`;
}

function Link() {
  const { state, at } = link.value;
  if (state === "live") return html`<p class="lock-link">${t("bar.link")} ● <time>${clockTime(second.value)}</time></p>`;
  return html`<p class=${`lock-link ${state === "lost" ? "lost" : ""}`} role=${state === "lost" ? "alert" : undefined}>${t("bar.link")} ${label("link", state)} ${at ? t("link.as_of", { at: clockTime(at) }) : ""}</p>`;
}

export function Lock() {
  const [error, setError] = useState("");
  const [isAsking, setAsking] = useState(false);
  const field = useRef();
  useLayoutEffect(() => field.current?.focus(), []);
  const submit = async (event) => {
    event.preventDefault();
    setAsking(true);
    const answer = await unlockScreen(field.current.value);
    setAsking(false);
    if (answer.status === 200) return;
    field.current.value = "";
    field.current.focus();
    setError(whyNot(answer.body));
  };
  const wake = () => { if (sound.value !== "running") unlock(); }; // after a reload of a locked page any key lets it sound again
  const raised = queueCounter.value?.raised;
  const { name, account, pin } = session.value;
  return html`<div class="lock-ground" onKeyDown=${wake} onPointerDown=${wake}><${Card} onSubmit=${submit}>
    <h2>${t("lock.title")}</h2>
    <ul class="lock-levels" aria-label=${t("lock.waiting")}>${LEVELS.map((severity) => html`<${Level} key=${severity} severity=${severity} raised=${raised?.[severity]} />`)}</ul>
    <${Link} />
    ${name !== null && sound.value !== "running" && html`<button type="button" class="no-sound" onClick=${() => unlock(true)}>${t("sound.blocked")}</button>`}
    <p>${t(name === null ? "lock.who" : "lock.who_on_duty", { name: account.name })}</p>
    <label for="secret">${t(pin ? "lock.pin_or_password" : "access.password")}</label>
    <input id="secret" name="secret" type="password" maxlength="256" autocomplete="off" required ref=${field} />
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <button type="submit" class="primary" disabled=${isAsking}>${t("lock.unlock")}</button>
    <button type="button" onClick=${logOut}>${t("lock.somebody_else")}</button>
  </${Card}></div>`;
}
