// Fields of forms: text, a choice, a list to pick from, a time; and a form that rules about something which is no incident.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { reasonText, t } from "../i18n.js";
import { html } from "../ui.js";

const TEXT_LIMIT = 2000; // as the core has it
const REASON_LIMIT = 500; // the same

/** Local time of the district as a date field writes it, to UTC; "" is none. */
export const asInstant = (text) => (text ? new Date(`${text}:00+08:00`).toISOString() : null);

/** The other way round: what a date field shows of an instant; "" for none. Minutes: nobody says seconds. */
export const asLocal = (at) => (at ? new Date(Date.parse(at) + 8 * 3_600_000).toISOString().slice(0, 16) : "");

const star = (required) => (required ? html`<b class="required">*</b>` : "");

export function Text({ name, values, set, required = false, rows = 3, limit = TEXT_LIMIT }) {
  return html`<label class="field"><span>${t(`field.${name}`)}${star(required)}</span>
    <textarea name=${name} rows=${rows} maxlength=${limit} value=${values[name] ?? ""} onInput=${(event) => set(name, event.target.value)}></textarea></label>`;
}

/** Why, in a sentence or two: as long as the reason of a ruling or of a correction may be. */
export const ReasonField = (props) => html`<${Text} name="reason" required=${true} rows=${2} limit=${REASON_LIMIT} ...${props} />`;

export function Line({ name, values, set, required = false, limit = 64 }) {
  return html`<label class="field"><span>${t(`field.${name}`)}${star(required)}</span>
    <input name=${name} maxlength=${limit} value=${values[name] ?? ""} onInput=${(event) => set(name, event.target.value)} /></label>`;
}

/** keyed: the options that the keys 1 to 9 choose, in their order, where the form has such keys. */
export function Choice({ name, options, values, set, required = false, text, keyed = [] }) {
  const key = (option) => keyed.indexOf(option) + 1;
  return html`<fieldset class="field choice"><legend>${t(`field.${name}`)}${star(required)}</legend>
    ${options.map((option) => html`<label key=${option}><input type="radio" name=${name} value=${option} checked=${values[name] === option} onChange=${() => set(name, option)} />
      ${key(option) > 0 && html`<kbd>${key(option)}</kbd>`}${text(option)}</label>`)}
  </fieldset>`;
}

export function Tick({ name, values, set, text }) {
  return html`<label class="field tick"><input type="checkbox" name=${name} checked=${values[name] === true} onChange=${(event) => set(name, event.target.checked)} /> ${text}</label>`;
}

/** options: [[value, text]…]; the first line is empty when nothing is chosen yet. */
export function Pick({ name, options, values, set, required = false }) {
  return html`<label class="field"><span>${t(`field.${name}`)}${star(required)}</span>
    <select name=${name} value=${values[name] ?? ""} onChange=${(event) => set(name, event.target.value)}>
      <option value="">–</option>${options.map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}
    </select></label>`;
}

export function When({ name, values, set, required = false }) {
  return html`<label class="field"><span>${t(`field.${name}`)}${star(required)}</span>
    <input type="datetime-local" name=${name} value=${values[name] ?? ""} onInput=${(event) => set(name, event.target.value)} /></label>`;
}

/**
 * A form of its own state: fields is a component of {values, set}, check(values) gives a reason or null, submit(values) true when it is done.
 * Esc closes it and nothing else.
 */
export function AskForm({ name, title, fields: Fields, note, check, submit, close }) {
  const box = useRef();
  const [values, setValues] = useState({});
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const underWay = useRef(false);
  useLayoutEffect(() => {
    box.current?.querySelector("input, select, textarea")?.focus({ preventScroll: true });
    box.current?.scrollIntoView({ block: "nearest" });
  }, []);
  const set = (field, value) => {
    setValues((before) => ({ ...before, [field]: value }));
    setError("");
  };
  const onSubmit = async (event) => {
    event.preventDefault();
    if (underWay.current) return;
    const wrong = check(values);
    if (wrong) {
      setError(reasonText({ reason: wrong }));
      return;
    }
    underWay.current = true; // at once: a second press comes before anything is drawn
    setBusy(true);
    const isDone = await submit(values);
    underWay.current = false;
    setBusy(false);
    if (isDone) close();
  };
  const onKeyDown = (event) => {
    if (event.code !== "Escape" || event.isComposing) return;
    event.stopPropagation();
    close();
  };
  return html`<form class=${`work ask ${name}`} ref=${box} onSubmit=${onSubmit} onKeyDown=${onKeyDown} novalidate autocomplete="off" aria-label=${title}>
    <h3>${title}</h3>
    ${Fields && html`<${Fields} values=${values} set=${set} />`}
    ${note && html`<p class="quiet small">${note}</p>`}
    ${error && html`<p class="error" role="alert">${error}</p>`}
    <div class="form-foot"><button type="submit" class="primary" disabled=${busy}>${t("form.submit")} <kbd>Ctrl+Enter</kbd></button>
      <button type="button" onClick=${close}>${t("watch.close")} <kbd>Esc</kbd></button></div>
  </form>`;
}
