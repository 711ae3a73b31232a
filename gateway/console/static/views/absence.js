// Somebody is away, announced and taken back; and in the incident of a watched person the last sign of life and the steps after a missed one.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { clockTime } from "../clock.js";
import { absence, notice } from "../commands.js";
import { label, t } from "../i18n.js";
import { Ago, Countdown, Time, html } from "../ui.js";
import { loadDetail, open } from "../work.js";
import { asInstant } from "./fields.js";

const BY = ["operator", "family"];
const TEXT_LIMIT = 200; // characters of name and note each; the core takes 500 of both together

/** Until when somebody is away, and who said so. */
export function AbsenceText({ absent }) {
  return html`<span class="away">${absent.until ? t("watch.until", { at: clockTime(absent.until) }) : t("watch.until_cancelled")} <span class="quiet">${t(absent.by === "family" ? "watch.by_family" : "watch.by_operator")} ${absent.name ?? ""} ${absent.note ?? ""}</span></span>`;
}

/** Announce that somebody is away: who says so, until when. */
export function AnnounceForm({ person, done, close }) {
  const box = useRef();
  const [values, setValues] = useState({ by: "operator", name: "", until: "", note: "" });
  const [busy, setBusy] = useState(false);
  useLayoutEffect(() => box.current?.querySelector("input")?.focus({ preventScroll: true }), []);
  const set = (name) => (event) => setValues({ ...values, [name]: event.target.value });
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    const answer = await absence(person.id, person.name, { by: values.by, name: values.by === "family" ? values.name.trim() : "", note: values.note.trim(), until: asInstant(values.until) });
    setBusy(false);
    if (!answer.ok) return;
    notice(() => t("watch.announced", { name: person.name }));
    done();
  };
  return html`<form class="work absence" ref=${box} onSubmit=${submit} novalidate autocomplete="off" aria-label=${`${t("watch.announce")} ${person.name}`}>
    <h3>${t("watch.announce")} · ${person.name}</h3>
    <fieldset class="field choice"><legend>${t("watch.who")}</legend>
      ${BY.map((by) => html`<label key=${by}><input type="radio" name="by" value=${by} checked=${values.by === by} onChange=${set("by")} /> ${t(`watch.by_${by}`)}</label>`)}</fieldset>
    ${values.by === "family" && html`<label class="field"><span>${t("watch.name")}</span><input name="name" maxlength=${TEXT_LIMIT} value=${values.name} onInput=${set("name")} /></label>`}
    <label class="field"><span>${t("watch.end")}</span><input type="datetime-local" name="until" value=${values.until} onInput=${set("until")} /></label>
    <label class="field"><span>${t("watch.note")}</span><input name="note" maxlength=${TEXT_LIMIT} value=${values.note} onInput=${set("note")} /></label>
    <p class="quiet small">${t("watch.explain")}</p>
    <div class="form-foot"><button type="submit" class="primary" disabled=${busy}>${t("form.submit")} <kbd>Ctrl+Enter</kbd></button>
      <button type="button" onClick=${close}>${t("watch.close")}</button></div>
  </form>`;
}

/** The buttons: announce or change an absence, and cancel one. */
export function AbsenceButtons({ person, absent, announce, done }) {
  const cancel = async () => {
    const answer = await absence(person.id, person.name, null);
    if (!answer.ok) return;
    notice(() => t("watch.cancelled", { name: person.name }));
    done();
  };
  return html`<button class="small" onClick=${announce}>${t(absent ? "watch.change" : "watch.announce")}<span class="unseen"> ${person.name}</span></button>
    ${absent && html` <button class="small" onClick=${cancel}>${t("watch.cancel")}<span class="unseen"> ${person.name}</span></button>`}`;
}

/** In the incident of a watched person: the last sign of life, whether an absence is announced, and announcing it. */
export function WatchOf({ row, data }) {
  const [isOpen, setOpen] = useState(false);
  const one = data?.watch;
  if (!one) return null;
  const done = () => { setOpen(false); loadDetail(); };
  return html`<section class="watch-of"><h3>${t("view.watch")} <span class="quiet">${t("watch.rules")} ${one.rules}</span></h3>
    <dl>
      <dt>${t("watch.last_sign")}</dt><dd>${one.last_sign_at ? html`<b>${label("kind", one.last_sign)}</b> · <${Ago} at=${one.last_sign_at} />` : t("watch.no_sign")}</dd>
      <dt>${t("watch.absence")}</dt><dd>${one.absent ? html`<${AbsenceText} absent=${one.absent} />` : t("watch.not_absent")}
        <${AbsenceButtons} person=${one.person} absent=${one.absent} announce=${() => setOpen(!isOpen)} done=${done} /></dd>
    </dl>
    ${one.path_out && html`<p>${t("watch.path_out")} <button class="small" onClick=${() => open(one.path_out)}>${one.path_out}</button></p>`}
    ${isOpen && html`<${AnnounceForm} key=${row.id} person=${one.person} done=${done} close=${() => setOpen(false)} />`}
    <${Ladder} row=${row} ladder=${one.ladder} />
  </section>`;
}

const STEP_MARKS = { done: "✓", skipped: "–", next: "▸", later: "□" };

/** The steps after a missed check-in: what was done and came of it, what comes next and when. */
function Ladder({ row, ladder }) {
  if (!ladder?.steps?.length) return null;
  const isOver = (row.flags ?? []).includes("ended") || row.state === "closed" || row.state === "resolved";
  return html`<h4>${t("ladder.title")}</h4>
    <ol class="ladder">${ladder.steps.map((step) => html`<li key=${step.step} class=${step.state}>
      <i aria-hidden="true">${STEP_MARKS[step.state]}</i> <b>${label("ladder_step", step.step)}</b>
      <span class="quiet">${t(`ladder.${step.state}`)}</span>
      ${step.result && html` <span>${label("ladder_result", step.result)}</span>`}${step.at && html` <${Time} at=${step.at} />`}
      ${step.state === "next" && step.due_at && html` <span>${t("ladder.at", { at: clockTime(step.due_at) })} <${Countdown} at=${Date.parse(step.due_at)} /></span>`}
      ${step.why && html` <span class="why">${t("ladder.put_off", { why: label("ladder_why", step.why) })}</span>`}
    </li>`)}</ol>
    ${isOver ? html`<p class="quiet">${t("ladder.over")}</p>` : row.state === "acknowledged" && ladder.steps.some((step) => step.state === "later" || step.state === "next") && html`<p class="quiet">${t("ladder.stopped")}</p>`}`;
}
