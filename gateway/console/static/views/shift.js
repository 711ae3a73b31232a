// Handing a shift over: what the next one must know, and two people who say so. Nothing critical or major passes without a tick of its own.
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { notice, rule } from "../commands.js";
import { label, reasonText, t } from "../i18n.js";
import { question } from "../reading.js";
import { LEVELS, countersChanged, incidentsChanged, me, rowOf, state as store } from "../store.js";
import { Ago, Mark, Since, Time, html, where, who } from "../ui.js";
import { draftOf, dropDraft, keepDraft, open } from "../work.js";
import { Ops } from "./ops.js";

const READ_MS = 15_000;
const TEXT_LIMIT = 2000;
const NOTE_LIMIT = 500;
const DRAFT = ["shift", "offer"];

const shift = question();
const missing = signal(new Set()); // what the server said is not ticked

export const readShift = () => shift.ask("/api/v1/shift");

/** Those that wait for the one who is here. */
export const offeredTo = (pending, name) => (pending ?? []).filter((one) => one.by !== name && (!one.to || one.to === name));

function Figure({ name, n, bad = false, children }) {
  return html`<span class=${bad && n ? "bad" : ""}>${t(`shift.${name}`)} <b>${n}</b>${children}</span>`;
}

function Figures({ data }) {
  const { devices = {} } = data;
  return html`<div class="shift-figures" role="group" aria-label=${t("shift.state")}>
    <span>${t("shift.open")} ${LEVELS.map((level) => html`<span key=${level}><${Mark} severity=${level} /><b>${data.open[level] ?? 0}</b> </span>`)}</span>
    <${Figure} name="mine" n=${data.mine} />
    <${Figure} name="shelved" n=${data.shelved.length}>${data.shelved.length > 0 && html` <span class="quiet">${t("shift.until")} <${Time} at=${data.shelved.map((one) => one.until).sort()[0]} /></span>`}<//>
    <${Figure} name="devices" n=${(devices.overdue ?? 0) + (devices.path_out ?? 0)} />
    <${Figure} name="low_battery" n=${devices.low_battery ?? 0} />
    <${Figure} name="call_backs" n=${data.call_backs}>${data.call_backs_late > 0 && html` <span class="flag">${t("shift.late", { n: data.call_backs_late })}</span>`}<//>
    <${Figure} name="complaints" n=${data.complaints} />
    <${Figure} name="maintenance" n=${data.maintenance} />
    <${Figure} name="risks" n=${data.risks ?? 0} />
    ${data.flood?.on && html`<span class="flag">${t("supervisor.flood")} ${t("supervisor.is_on")}</span>`}
  </div>`;
}

/** What is said of one incident in both lists: the feed is fresher than what was written down. */
function What({ read }) {
  const row = rowOf(read.id) ?? read;
  return html`${label("kind", row.kind)} · ${who(row, "row")} · ${where(row) ?? "–"} <span class="quiet">${label("state", row.state)} ${row.owner ?? ""} <${Since} at=${row.opened_at} /></span>`;
}

// --- who goes ---

function Outgoing({ data }) {
  const [values, setValues] = useState(() => draftOf(...DRAFT));
  const [busy, setBusy] = useState(false);
  countersChanged.value;
  const people = [...store.operators.values()].map((one) => one.name).filter((name) => name !== me.value).sort();
  const change = (next) => {
    setValues(next);
    keepDraft(...DRAFT, next);
  };
  const set = (name) => (event) => change({ ...values, [name]: event.target.value });
  const setNote = (id) => (event) => change({ ...values, notes: { ...values.notes, [id]: event.target.value } });
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    const notes = Object.fromEntries(data.must_tick.map((row) => [row.id, values.notes?.[row.id]?.trim()]).filter(([, note]) => note));
    const answer = await rule(t("view.shift"), "shift", { ...(values.to ? { to: values.to } : {}), text: (values.text ?? "").trim(), notes });
    setBusy(false);
    if (!answer.ok) return;
    dropDraft(...DRAFT);
    setValues({});
    notice(() => t("shift.offered", { to: values.to || t("shift.whoever") }));
    readShift();
  };
  const mine = data.pending.find((one) => one.by === me.value);
  return html`<section aria-label=${t("shift.outgoing")}><h3>${t("shift.outgoing")}</h3>
    ${mine && html`<${Waiting} one=${mine} />`}
    <form class="work handover" onSubmit=${submit} novalidate autocomplete="off" aria-label=${t("shift.outgoing")}>
      ${data.must_tick.length === 0 ? html`<p class="quiet">${t("shift.nothing_urgent")}</p>` : html`<table aria-label=${t("shift.urgent")}>
        <thead><tr>${["incident", "what", "note"].map((name) => html`<th scope="col" key=${name}>${t(`shift.${name}`)}</th>`)}</tr></thead>
        <tbody>${data.must_tick.map((row) => html`<tr key=${row.id}>
          <td><${Mark} severity=${row.severity} /> <button type="button" class="row" onClick=${() => open(row.id)}>${row.id}</button></td>
          <td><${What} read=${row} /></td>
          <td><input maxlength=${NOTE_LIMIT} aria-label=${`${t("shift.note")} ${row.id}`} value=${values.notes?.[row.id] ?? row.note ?? ""} onInput=${setNote(row.id)} /></td></tr>`)}</tbody></table>`}
      <label class="field"><span>${t("shift.text")}</span><textarea name="text" rows="4" maxlength=${TEXT_LIMIT} value=${values.text ?? ""} onInput=${set("text")}></textarea></label>
      <label class="field"><span>${t("shift.to")}</span><select name="to" value=${values.to ?? ""} onChange=${set("to")}>
        <option value="">${t("shift.whoever")}</option>${people.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
      <p class="quiet small">${t(mine ? "shift.replaces" : "shift.explain")}</p>
      <div class="form-foot"><button type="submit" class="primary" disabled=${busy}>${t("shift.offer")} <kbd>Ctrl+Enter</kbd></button></div>
    </form></section>`;
}

/** One's own, that nobody has confirmed. */
function Waiting({ one }) {
  const cancel = async () => {
    if ((await rule(t("view.shift"), `shift/${encodeURIComponent(one.id)}/cancel`, {})).ok) readShift();
  };
  return html`<p class="flag-line" role="status"><b>${t("shift.waits_for", { to: one.to || t("shift.whoever") })}</b> <${Ago} at=${one.at} /> <button class="small" onClick=${cancel}>${t("shift.take_back")}</button></p>`;
}

// --- who comes ---

function Incoming({ one }) {
  const box = useRef();
  const [ticked, setTicked] = useState(() => new Set());
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const left = one.must_tick.filter((row) => !ticked.has(row.id));
  const tick = (id) => {
    const next = new Set(ticked);
    if (!next.delete(id)) next.add(id);
    setTicked(next);
    setError("");
  };
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    if (left.length) {
      setError(t("shift.not_all", { n: left.length }));
      box.current.querySelector("input[type=checkbox]:not(:checked)")?.focus();
      return;
    }
    setBusy(true);
    const answer = await rule(one.by, `shift/${encodeURIComponent(one.id)}/confirm`, { ticked: [...ticked] });
    setBusy(false);
    if (answer.ok) {
      missing.value = new Set();
      notice(() => t("shift.done", { by: one.by, to: me.value }));
    } else {
      setError(reasonText(answer.body));
      if (answer.body.missing) missing.value = new Set(answer.body.missing);
    }
    readShift();
  };
  const onKeyDown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.code];
    if (!step || event.target.type !== "checkbox") return;
    const boxes = [...box.current.querySelectorAll("input[type=checkbox]")];
    boxes[boxes.indexOf(event.target) + step]?.focus();
    event.preventDefault();
  };
  return html`<form class="work takeover" ref=${box} onSubmit=${submit} onKeyDown=${onKeyDown} novalidate aria-label=${t("shift.from", { by: one.by })}>
    <h4 class="names"><b>${one.by}</b> → <b>${me.value}</b> <span class="plain-text"><${Ago} at=${one.at} /></span></h4>
    ${one.text && html`<p class="said">${one.text}</p>`}
    ${one.must_tick.length === 0 ? html`<p class="quiet">${t("shift.nothing_urgent")}</p>` : html`<table aria-label=${t("shift.urgent")}>
      <thead><tr>${["known", "what", "note"].map((name) => html`<th scope="col" key=${name}>${t(`shift.${name}`)}</th>`)}</tr></thead>
      <tbody>${one.must_tick.map((row) => html`<tr key=${row.id} class=${missing.value.has(row.id) && !ticked.has(row.id) ? "missing" : ""}>
        <td><label class="tick"><input type="checkbox" checked=${ticked.has(row.id)} onChange=${() => tick(row.id)} /> <span><${Mark} severity=${row.severity} /> ${row.id}</span></label></td>
        <td><${What} read=${row} /></td><td>${row.note || html`<span class="quiet">–</span>`}</td></tr>`)}</tbody></table>`}
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <div class="form-foot"><button type="submit" class="primary" disabled=${busy}>${t("shift.confirm")} <kbd>Ctrl+Enter</kbd></button>
      <span class="quiet">${left.length ? t("shift.left", { n: left.length }) : t("shift.all_ticked")} <kbd>Space</kbd> <kbd>↑↓</kbd></span></div>
  </form>`;
}

export function Shift() {
  useEffect(() => {
    readShift();
    const timer = setInterval(readShift, READ_MS);
    return () => clearInterval(timer);
  }, []);
  incidentsChanged.value;
  const state = shift.state.value;
  const { data } = state;
  const offered = offeredTo(data?.pending, me.value);
  const others = (data?.pending ?? []).filter((one) => one.by !== me.value && !offered.includes(one));
  return html`<${Ops} name="shift" state=${state} again=${readShift}>
    ${data && html`<${Figures} data=${data} />
      <div class="shift-pair">
        <${Outgoing} data=${data} />
        <section aria-label=${t("shift.incoming")}><h3>${t("shift.incoming")}</h3>
          ${offered.length === 0 && html`<p class="nothing-here">${t("shift.none")}</p>`}
          ${offered.map((one) => html`<${Incoming} key=${one.id} one=${one} />`)}
          ${others.map((one) => html`<p key=${one.id} class="quiet"><b>${one.by}</b> → ${one.to} <${Ago} at=${one.at} /></p>`)}
          ${data.last && html`<h3>${t("shift.last")}</h3><p><b>${data.last.by}</b> → <b>${data.last.to}</b> <${Time} at=${data.last.confirmed_at} /></p>${data.last.text && html`<p class="said">${data.last.text}</p>`}`}
        </section></div>`}
  <//>`;
}
