// Recordings of an incident's calls: which there are, and listening to one, with a reason, on record.
import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import { t } from "../i18n.js";
import { postJson } from "../past.js";
import { question } from "../reading.js";
import { Time, html, lasted } from "../ui.js";

const REASON_LIMIT = 500;
const STEP_S = 10;
const SPEEDS = [1, 1.25, 1.5, 2];

const listed = question();
let askedFor = null;
/** What is asked for or played: {incident, call, reason, error, ticket}; null: nothing. */
const playing = signal(null);

async function listen(event) {
  event.preventDefault();
  const { incident, call, reason } = playing.value;
  if (reason.trim().length < 2) {
    playing.value = { ...playing.value, error: t("history.say_why") };
    return;
  }
  const say = (more) => { if (playing.value?.incident === incident && playing.value.call === call) playing.value = { ...playing.value, ...more }; }; // not of another
  try {
    const { ticket } = await postJson(`/api/v1/incidents/${encodeURIComponent(incident)}/listen`, { call, reason: reason.trim() });
    say({ ticket, error: "" });
  } catch (error) {
    say({ error: error.message });
  }
}

function Player({ ticket }) {
  const sound = useRef();
  useLayoutEffect(() => { sound.current?.focus(); }, [ticket]);
  const move = (seconds) => { sound.current.currentTime = Math.max(0, sound.current.currentTime + seconds); };
  const faster = () => { sound.current.playbackRate = SPEEDS[(SPEEDS.indexOf(sound.current.playbackRate) + 1) % SPEEDS.length]; };
  return html`<div class="player" role="group" aria-label=${t("recordings.player")}>
    <audio ref=${sound} controls autoplay preload="metadata" tabindex="0" src=${`/api/v1/recordings/${ticket}`} onError=${() => { playing.value = { ...playing.value, error: t("recordings.broken") }; }}></audio>
    <button type="button" onClick=${() => move(-STEP_S)}>${t("recordings.back", { n: STEP_S })}</button>
    <button type="button" onClick=${() => move(STEP_S)}>${t("recordings.on", { n: STEP_S })}</button>
    <button type="button" onClick=${faster}>${t("recordings.speed")}</button>
    <button type="button" onClick=${() => { playing.value = null; }}>${t("recordings.close")}</button>
  </div>`;
}

function Asking() {
  const box = useRef();
  useLayoutEffect(() => { box.current?.focus(); }, []);
  const now = playing.value;
  const onKeyDown = (event) => {
    if (event.code !== "Escape" || event.isComposing) return;
    event.stopPropagation();
    playing.value = null;
  };
  return html`<form class="listen" onSubmit=${listen} onKeyDown=${onKeyDown} autocomplete="off">
    <label class="field"><span>${t("recordings.reason")}<b class="required">*</b></span>
      <input ref=${box} name="listen_reason" maxlength=${REASON_LIMIT} value=${now.reason} onInput=${(event) => { playing.value = { ...playing.value, reason: event.target.value }; }} /></label>
    <button type="submit" class="primary">${t("recordings.play")}</button>
  </form>`;
}

export function Recordings({ row }) {
  const { id, version } = row;
  useEffect(() => {
    if (askedFor !== id) {
      listed.state.value = { data: null, at: "", error: "", busy: false };
      playing.value = null;
    }
    askedFor = id;
    listed.ask(`/api/v1/incidents/${encodeURIComponent(id)}/recordings`, (data) => ({ ...data, of: id }));
  }, [id, version]);
  const { data } = listed.state.value;
  if (!data || data.of !== id || !data.on || data.recordings.length === 0) return null;
  const now = playing.value?.incident === id ? playing.value : null;
  return html`<section class="recordings"><h3>${t("recordings.title")}</h3>
    <ul>${data.recordings.map((one) => html`<li key=${one.call} class=${one.state}>
      <${Time} at=${one.at} /> ${one.agent} <span class="quiet">${lasted((Date.parse(one.until) - Date.parse(one.at)) / 1000)}</span>
      <span class=${`recording ${one.state}`}>${t(`recordings.${one.state}`)}</span>
      ${one.state === "there" && html`<button class="small" disabled=${!data.may} onClick=${() => { playing.value = { incident: id, call: one.call, reason: "", error: "", ticket: "" }; }}>${t("recordings.listen")}</button>`}
    </li>`)}</ul>
    ${!data.may && html`<p class="quiet small">${t("recordings.no_right")}</p>`}
    ${now && (now.ticket ? html`<${Player} ticket=${now.ticket} />` : html`<${Asking} key=${now.call} />`)}
    ${now?.error && html`<p class="error" role="alert">${now.error}</p>`}
  </section>`;
}
