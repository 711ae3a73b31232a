// The bar on top: counters, call-backs due, link clock, sound, lines, language, who is on duty; below it the calls that ring.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { clockTime, second } from "../clock.js";
import { setDuty } from "../commands.js";
import { faultText } from "../fault.js";
import { link } from "../feed.js";
import { keyOf } from "../keys.js";
import { LANGUAGES, label, language, t, useLanguage } from "../i18n.js";
import { LEVELS, calls, counts, incidentsChanged, lines, me, requestCounts, session, state, tab } from "../store.js";
import { sound, unlock } from "../sound.js";
import { hushedUntil, volume } from "../hush.js";
import { THEMES, theme } from "../theme.js";
import { Countdown, Since, callerText, html, Mark } from "../ui.js";
import { Me } from "./me.js";
import { helpShown, menuShown, open, reachable, view } from "../work.js";

const CALLS_SHOWN = 3;
const LINE_MARKS = { live: "●", connecting: "◌", suspect: "◌", lost: "✕" };

export function districtName() {
  const district = session.value?.district;
  return (language.value === "en" && district?.name_en) || district?.name || "";
}

function Counters() {
  const now = counts.value;
  const requests = requestCounts.value;
  return html`
    <div class="counters" role="group" aria-label=${t("bar.open")}>
      ${LEVELS.map((severity) => html`
        <span key=${severity} class=${`counter ${severity} ${now[severity] ? "" : "none"}`} title=${`${label("severity", severity)} · ${t("bar.waiting", { n: now.raised[severity] })}`}>
          <${Mark} severity=${severity} />${now[severity]}
        </span>`)}
      <button class="counter back" onClick=${() => { tab.value = "call_back"; }}>${t("tab.call_back")} ${now.tabs.call_back}</button>
      ${requests && html`<button class="counter back requests" title=${t("bar.requests", { n: requests.raised, unmatched: requests.unmatched })} onClick=${() => { view.value = "requests"; }}>${t("view.requests")} ${requests.raised + requests.acknowledged}</button>`}
    </div>`;
}

function LinkClock() {
  const { state, at } = link.value;
  const time = state === "live" ? clockTime(second.value) : at ? clockTime(at) : "--:--:--";
  const marks = { live: "●", polling: "◐", connecting: "◌", reconnecting: "◌", lost: "✕" };
  return html`<span class=${`link ${state}`} title=${label("link", state)}>
    <span class="quiet">${t("bar.link")}</span> <i aria-hidden="true">${marks[state]}</i> <time>${time}</time>
    ${state !== "live" && html`<em>${label("link", state)}</em>`}
  </span>`;
}

function Sound() {
  const until = hushedUntil.value;
  const isHushed = until !== null && until > second.value;
  const isOn = sound.value === "running";
  return html`<button class=${`sound ${isOn ? "" : "off"}`} onClick=${() => unlock(true)} title=${t("bar.sound_test")}>
    ${t("bar.sound")} ${isOn ? (isHushed ? html`${t("bar.hushed")} <${Countdown} at=${until} />` : "✓") : "✕"}
  </button>`;
}

function Line({ line }) {
  return html`<span class=${`line ${line.state}`} title=${`${line.id} · ${label("line_state", line.state)} ${clockTime(line.since)} ${faultText(line.reason)}`}>
    <i aria-hidden="true">${LINE_MARKS[line.state] ?? "◌"}</i>${line.id}<span class="unseen">${label("line_state", line.state)}</span>
  </span>`;
}

/** The lines in one row of the bar. Without room the live ones become a count; one that is not live is always named, if need be in a second row. */
function Lines() {
  const box = useRef();
  const [width, setWidth] = useState(0);
  const [folded, setFolded] = useState("");
  const all = lines.value;
  const live = all.filter((line) => line.state === "live");
  const shown = `${width} ${language.value} ${all.map((line) => `${line.id} ${line.state}`)}`;
  const isFolded = folded === shown; // for what is shown now: anything else is laid out in full and measured first
  useLayoutEffect(() => {
    if (!isFolded && box.current.clientHeight > 1.5 * box.current.firstElementChild.offsetHeight) setFolded(shown);
  });
  useLayoutEffect(() => {
    const watcher = new ResizeObserver(([{ contentRect }]) => setWidth(contentRect.width));
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  return html`<span class="lines" role="group" aria-label=${t("bar.lines")} ref=${box}><span class="quiet">${t("bar.lines")}</span>
    ${(isFolded ? all.filter((line) => line.state !== "live") : all).map((line) => html`<${Line} key=${line.id} line=${line} />`)}
    ${isFolded && live.length > 0 && html`<span class="line live folded" title=${live.map((line) => line.id).join(" · ")}>
      ${live.length}/${all.length} <i aria-hidden="true">●</i><span class="unseen">${label("line_state", "live")}</span></span>`}
  </span>`;
}

function Language() {
  const other = LANGUAGES.find((name) => name !== language.value);
  return html`<button class="language" lang=${other} onClick=${() => useLanguage(other)}>${t("bar.other_language")}</button>`;
}

/** Every view that this reader may see, for the mouse and for whoever has no key in mind. */
function Menu() {
  const box = useRef();
  useEffect(() => {
    if (!menuShown.value) return undefined;
    box.current.querySelector("[aria-current]")?.focus();
    const close = (event) => { if (!box.current?.contains(event.target)) menuShown.value = false; };
    document.addEventListener("pointerdown", close);
    document.addEventListener("focusin", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("focusin", close);
    };
  }, [menuShown.value]);
  const go = (name) => {
    menuShown.value = false;
    view.value = name;
  };
  return html`<div class="menu" ref=${box}>
    <button aria-expanded=${menuShown.value ? "true" : "false"} aria-haspopup="true" title=${t("view.menu")} onClick=${() => { menuShown.value = !menuShown.value; }}>${t(`view.${view.value}`)} <i aria-hidden="true">▾</i></button>
    ${menuShown.value && html`<nav aria-label=${t("view.menu")}>${reachable.value.map((name) => html`
      <button key=${name} aria-current=${view.value === name ? "page" : undefined} onClick=${() => go(name)}><span>${t(`view.${name}`)}</span> <kbd>${keyOf(name)}</kbd></button>`)}
      <label class="setting">${t("setting.theme")} <select value=${theme.value} onChange=${(event) => { theme.value = event.target.value; }}>${THEMES.map((one) => html`<option key=${one} value=${one}>${label("theme", one)}</option>`)}</select></label>
      <label class="setting" title=${t("setting.volume_floor")}>${t("setting.volume")} <input type="range" min="0" max="1" step="0.1" value=${volume.value} onChange=${(event) => { volume.value = Number(event.target.value); unlock(true); }} /></label>
    </nav>`}
  </div>`;
}

/** Whoever has no queue gets no rows: a zero here would say that nobody waits. */
const hasDesk = () => reachable.value.includes("queue");

export function Bar() {
  return html`
    <header class="bar">
      <h1>${t("bar.title")} <span>· ${districtName()}</span></h1>
      <${Menu} />
      ${hasDesk() && html`<${Counters} />`}
      <${LinkClock} />
      ${hasDesk() && html`<${Sound} />`}
      <${Lines} />
      <button onClick=${() => { helpShown.value = true; }} title=${t("help.title")} aria-label=${t("help.title")}>?</button>
      <${Language} />
      <${Me} />
      ${me.value !== null && html`<button onClick=${() => setDuty(null)}>${t("duty.leave")}</button>`}
    </header>`;
}

const mine = (call) => Boolean(call.operator) && call.operator === me.value;

function Call({ call }) {
  const known = state.incidents.get(call.incident)?.name; // a device's own number says nobody's name, the alarm that it joined does
  const persons = call.persons?.length ? call.persons.join(" / ") : known ?? t("person.unknown");
  const isMine = mine(call);
  return html`<span class=${`call ${call.state} ${isMine ? "mine" : ""}`}>
    <b aria-hidden="true">☎</b> ${callerText(call.caller)} → ${persons}
    ${isMine && html`<b>${t("call.yours")}</b>`}${call.incident && html`<button class="small" onClick=${() => open(call.incident)}>${call.incident}</button>`}
    <span class="quiet" title=${t("call.hotline", { n: call.hotline ?? "?" })}>${t("call.hotline_short", { n: call.hotline ?? "?" })}</span>
    <span>${label("call_state", call.state)}${call.agent ? ` ${call.agent}` : ""}</span> <${Since} at=${call.since} />
  </span>`;
}

const CALL_ORDER = ["call_ringing", "call_offered", "call_answered"];

/** Always one line high: nothing below may move when a telephone begins to ring. One's own call never gives way to those that wait. */
export function Ringing() {
  const { state: reach, at } = link.value;
  if (reach === "lost") {
    return html`<div class="ringing lost" role="alert"><strong>${t("link.lost_banner")}</strong> ${t("link.as_of", { at: clockTime(at) })}</div>`;
  }
  if (!hasDesk()) return html`<div class="ringing" aria-label=${t("call.bar")} role="region"><span class="quiet">${t("call.not_here")}</span></div>`;
  const isSilent = sound.value !== "running";
  incidentsChanged.value; // the names of their persons
  const all = [...calls.value].sort((a, b) => mine(b) - mine(a) || CALL_ORDER.indexOf(a.state) - CALL_ORDER.indexOf(b.state));
  return html`
    <div class=${`ringing ${all.some((call) => call.state !== "call_answered") ? "on" : ""} ${isSilent ? "silent" : ""}`} aria-label=${t("call.bar")} role="region">
      ${isSilent && html`<button class="no-sound" onClick=${() => unlock(true)}>${t("sound.blocked")}</button>`}
      ${all.length === 0 && html`<span class="quiet">${t("call.none")}</span>`}
      ${all.slice(0, CALLS_SHOWN).map((call) => html`<${Call} key=${call.id} call=${call} />`)}
      ${all.length > CALLS_SHOWN && html`<span class="quiet more">${t("call.more", { n: all.length - CALLS_SHOWN })}</span>`}
    </div>`;
}
