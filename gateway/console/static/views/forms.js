// Forms in the middle pane: dispatch, note, escalate, hand over, reveal, resolve, call back, complain. Ctrl+Enter submits, Esc keeps the draft.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { notice, send } from "../commands.js";
import { label, reasonText, t } from "../i18n.js";
import { session } from "../store.js";
import { html, kilometres, travel } from "../ui.js";
import { closeForm, draftOf, dropDraft, focusIncident, form, keepDraft, showNumbers } from "../work.js";

const TEXT_LIMIT = 2000; // as the core has it
const OUTCOMES = ["helped", "hospital", "false_alarm", "test", "refused", "not_found", "handed_over"];
const REASONS = ["call_back", "verify_identity", "emergency_service"];
const DISPATCHABLE = new Set(["chosen", "fits", "at_capacity", "off_duty"]); // the last two: a person may know better

function Text({ name, values, set, required = false, rows = 3 }) {
  return html`<label class="field"><span>${t(`field.${name}`)}${required ? html`<b class="required">*</b>` : ""}</span>
    <textarea name=${name} rows=${rows} maxlength=${TEXT_LIMIT} value=${values[name] ?? ""} onInput=${(event) => set(name, event.target.value)}></textarea></label>`;
}

function Choice({ name, options, values, set, required = false, text }) {
  return html`<fieldset class="field choice"><legend>${t(`field.${name}`)}${required ? html`<b class="required">*</b>` : ""}</legend>
    ${options.map((option) => html`<label key=${option}><input type="radio" name=${name} value=${option} checked=${values[name] === option} onChange=${() => set(name, option)} /> ${text(option)}</label>`)}
  </fieldset>`;
}

function Dispatch({ data, values, set }) {
  const list = data?.candidates_now ?? [];
  if (!data) return html`<p class="quiet">${t("form.loading")}</p>`;
  return html`<fieldset class="field candidates"><legend>${t("field.responder")}</legend>
    ${list.map((one, i) => html`
      <label key=${one.responder} class=${one.verdict}>
        <input type="radio" name="responder" value=${one.responder} checked=${values.responder === one.responder} disabled=${!DISPATCHABLE.has(one.verdict)} onChange=${() => set("responder", one.responder)} />
        <kbd>${i + 1}</kbd> <b>${one.responder === "desk" ? label("responder_kind", "desk") : one.name}</b> <span>${travel(one.travel_min)}</span> <span class="quiet">${kilometres(one.km)}</span>
        <span class=${`verdict ${one.verdict}`}>${label("verdict_now", one.verdict)}</span>
      </label>`)}
    <p class="quiet small">${t("about.note")}</p>
  </fieldset>`;
}

/** name → {fields, check(values, data) → reason | null, body(values, data), done(id, answer)?}. */
const FORMS = {
  dispatch: {
    fields: Dispatch,
    start: (data) => ({ responder: (data?.candidates_now ?? []).find((one) => one.verdict === "chosen" || one.verdict === "fits")?.responder }),
    check: (values) => (values.responder ? null : "missing_responder"),
    body: (values) => ({ responder: values.responder }),
  },
  note: {
    fields: (props) => html`<${Text} name="text" required=${true} ...${props} />`,
    check: (values) => (values.text?.trim() ? null : "missing_text"),
    body: (values) => ({ text: values.text }),
  },
  escalate: {
    fields: (props) => html`<${Text} name="reason" rows=${2} ...${props} />`,
    check: () => null,
    body: (values) => (values.reason?.trim() ? { reason: values.reason } : {}),
  },
  hand_over: {
    fields: (props) => html`<${Choice} name="to" required=${true} options=${otherHotlines(props.row)} text=${hotlineText} ...${props} /><${Text} name="note" rows=${2} ...${props} /><p class="quiet small">${t("hand_over.explain")}</p>`,
    check: (values) => (values.to ? null : "missing_to"),
    body: (values) => ({ to: values.to, ...(values.note?.trim() ? { note: values.note } : {}) }),
  },
  resolve: {
    fields: (props) => html`<${Choice} name="outcome" required=${true} options=${OUTCOMES} text=${(one) => label("outcome", one)} ...${props} /><${Text} name="note" rows=${2} ...${props} />`,
    check: (values, data) => (missingSteps(data).length ? "steps_missing" : values.outcome ? null : "missing_outcome"),
    body: (values) => ({ outcome: values.outcome, ...(values.note?.trim() ? { note: values.note } : {}) }),
  },
  call_back: {
    fields: (props) => html`
      <${Choice} name="satisfaction" options=${["5", "4", "3", "2", "1"]} text=${(one) => t(`satisfaction.${one}`)} ...${props} />
      <${Text} name="note" rows=${2} required=${props.values.complaint === true} ...${props} />
      <label class="field tick"><input type="checkbox" name="complaint" checked=${props.values.complaint === true} onChange=${(event) => props.set("complaint", event.target.checked)} /> ${t("field.complaint")}</label>`,
    check: (values, data) =>
      values.complaint && !values.note?.trim() ? "missing_note" : !values.satisfaction && !values.complaint && data?.incident?.state === "resolved" ? "missing_satisfaction" : null,
    body: (values) => ({
      ...(values.satisfaction ? { satisfaction: Number(values.satisfaction) } : {}),
      ...(values.note?.trim() ? { note: values.note } : {}),
      ...(values.complaint ? { complaint: true } : {}),
    }),
  },
  reveal: {
    fields: (props) => html`<${Choice} name="reason" required=${true} options=${REASONS} text=${(one) => label("reveal_reason", one)} ...${props} /><p class="quiet small">${t("reveal.note")}</p>`,
    start: () => ({ reason: REASONS[0] }),
    check: (values) => (values.reason ? null : "missing_reason"),
    body: (values) => ({ reason: values.reason }),
    done: (id, answer) => showNumbers(id, answer),
  },
  complain: {
    fields: (props) => html`<${Text} name="note" required=${true} ...${props} />`,
    check: (values) => (values.note?.trim() ? null : "missing_note"),
    body: (values) => ({ note: values.note }),
  },
};

const otherHotlines = (row) => (session.value?.hotlines ?? []).map((one) => one.number).filter((number) => number !== row.hotline);
function hotlineText(number) {
  const one = session.value?.hotlines?.find((other) => other.number === number);
  return [number, one?.name, one?.supplementary ? t("hand_over.supplementary") : ""].filter(Boolean).join(" ");
}

const missingSteps = (data) => (data?.plan ?? []).filter((step) => step.required && !step.done);

export function Form({ row, data, name }) {
  const kind = FORMS[name];
  const box = useRef();
  const [values, setValues] = useState(() => draftOf(row.id, name));
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const filled = { ...kind.start?.(data), ...values };
  const isReady = name !== "dispatch" || Boolean(data);

  // The operator asked for the form: the first field, or the choice already made, takes the focus, and it does so before
  // the next key arrives: what is typed must never be taken for a command.
  useLayoutEffect(() => {
    const find = (selector) => box.current?.querySelector(selector);
    (find("input[type=radio]:checked") ?? find("textarea, input:not(:disabled)") ?? box.current)?.focus({ preventScroll: true });
    box.current?.closest(".incident-body")?.scrollTo(0, 0);
  }, [isReady]);

  const set = (field, value) => {
    const next = { ...values, [field]: value };
    setValues(next);
    keepDraft(row.id, name, next);
    setError("");
  };

  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    const wrong = kind.check(filled, data);
    if (wrong) {
      setError(reasonText({ reason: wrong, steps: missingSteps(data).map((step) => label("step", step.id)).join(", ") }));
      return;
    }
    setBusy(true);
    const answer = await send(row.id, name, kind.body(filled, data));
    setBusy(false);
    if (!answer.ok) {
      setError(t("form.draft_kept"));
      return;
    }
    dropDraft(row.id, name);
    kind.done?.(row.id, answer.body);
    if (form.value?.incident === row.id && form.value.name === name) {
      closeForm();
      focusIncident();
    }
    notice(() => t("notice.done", { id: row.id, action: label("action", name) }));
  };

  const onKeyDown = (event) => {
    if (name !== "dispatch" || !/^Digit[1-9]$/.test(event.code) || event.ctrlKey || event.altKey) return;
    const one = data?.candidates_now?.[Number(event.code.slice(5)) - 1];
    if (one && DISPATCHABLE.has(one.verdict)) set("responder", one.responder);
  };

  const Fields = kind.fields;
  return html`
    <form class=${`work ${name}`} ref=${box} onSubmit=${submit} onKeyDown=${onKeyDown} novalidate autocomplete="off" tabindex="-1" aria-label=${label("action", name)}>
      <h3>${label("action", name)}</h3>
      ${name === "resolve" && missingSteps(data).length > 0 && html`<p class="error">${t("reason.steps_missing", { steps: missingSteps(data).map((step) => label("step", step.id)).join(", ") })}</p>`}
      <${Fields} values=${filled} set=${set} data=${data} row=${row} />
      ${error && html`<p class="error" role="alert">${error}</p>`}
      <div class="form-foot">
        <button type="submit" class="primary" disabled=${busy}>${t("form.submit")} <kbd>Ctrl+Enter</kbd></button>
        <button type="button" onClick=${() => { closeForm(); focusIncident(); }}>${t("form.cancel")} <kbd>Esc</kbd></button>
      </div>
    </form>`;
}
