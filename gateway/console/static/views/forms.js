// Forms in the middle pane, never floating: one frame for all. Ctrl+Enter submits (or Enter on a choice), Esc keeps the draft, 1 to 9 choose.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { notice, refusalText, send } from "../commands.js";
import { label, reasonText, t } from "../i18n.js";
import { html } from "../ui.js";
import { closeForm, detail, draftOf, dropDraft, focusIncident, form, keepDraft } from "../work.js";
import { CALLER_FORMS } from "./caller_forms.js";
import { CARE_FORMS } from "./care_forms.js";
import { LOOP_FORMS } from "./loop_forms.js";
import { missingSteps, stepText } from "./plan.js";
import { ROW_FORMS } from "./row_forms.js";

/**
 * name → {fields, check(values, data, row) → reason | null, body(values, data, row), start(data, row)?, done(id, answer)?,
 * digits(data, row)? → for the keys 1 to 9 what each chooses, waits: it needs the detail, isStateful: the server is told which state was seen}.
 */
const FORMS = { ...CARE_FORMS, ...CALLER_FORMS, ...LOOP_FORMS, ...ROW_FORMS };

const WRITES = "textarea, select, input:not([type=radio]):not([type=checkbox])"; // what is typed there is text

export function Form({ row, data: known, name }) {
  const kind = FORMS[name];
  const box = useRef();
  const version = useRef(row.version); // an older detail would propose who was near before it was known who it is
  const isReady = useRef(!kind.waits);
  isReady.current ||= Boolean(known) && (detail.value?.failed || !(known.incident.version < version.current));
  const data = isReady.current ? known : null;
  const hasSaid = useRef(false);
  const isHasty = useRef(false); // submitted before the detail was there
  const seen = useRef(row.state); // as it was when the form was opened
  const [values, setValues] = useState(() => draftOf(row.id, name));
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const start = kind.start?.(data, row);
  const filled = { ...start, ...values };

  // The operator asked for the form: the first field, or the choice already made, takes the focus, and it does so before
  // the next key arrives: what is typed must never be taken for a command.
  useLayoutEffect(() => {
    if (box.current !== document.activeElement && box.current.contains(document.activeElement)) return; // somebody writes in it already
    const find = (selector) => box.current?.querySelector(selector);
    const first = kind.digits ? find("input[type=radio]:not(:disabled)") : null;
    (find("input[type=radio]:checked") ?? first ?? find("textarea, input:not(:disabled)") ?? box.current)?.focus({ preventScroll: true });
    box.current?.closest(".incident-body")?.scrollTo(0, 0);
  }, [isReady.current, form.value]); // also when it is asked for again while it is open and the focus is elsewhere

  // What is proposed may change with the detail: the focus goes with it, or Enter would send what has no focus.
  useLayoutEffect(() => {
    const focused = document.activeElement;
    if (!box.current?.contains(focused) || !focused.matches("input[type=radio]:not(:checked)")) return;
    box.current.querySelector(`input[type=radio][name="${focused.name}"]:checked`)?.focus({ preventScroll: true });
  }, [JSON.stringify(start)]);

  useLayoutEffect(() => {
    if (!isReady.current || !isHasty.current) return;
    isHasty.current = false;
    box.current.requestSubmit();
  }, [isReady.current]);

  /** set(field, value), or several at once. */
  const set = (field, value) => {
    const next = typeof field === "string" ? { ...values, [field]: value } : { ...values, ...field };
    hasSaid.current = true;
    setValues(next);
    keepDraft(row.id, name, next);
    setError("");
  };

  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    if (!isReady.current) {
      isHasty.current = hasSaid.current; // done as soon as it can be, if it was chosen here: nothing that is only proposed then
      return;
    }
    const wrong = kind.check(filled, data, row);
    if (wrong) {
      setError(reasonText({ reason: wrong, steps: missingSteps(data).map(stepText).join(", ") }));
      return;
    }
    setBusy(true);
    const answer = await send(row.id, name, { ...kind.body(filled, data, row), ...(kind.isStateful ? { state: seen.current } : {}) });
    setBusy(false);
    if (!answer.ok) {
      if (answer.body.incident) seen.current = answer.body.incident.state; // told now: the next attempt is made knowing it
      setError(`${refusalText(answer)} · ${t("form.draft_kept")}`);
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
    if (!kind.digits || event.isComposing || !/^Digit[1-9]$/.test(event.code) || event.ctrlKey || event.altKey || event.shiftKey || event.target.matches(WRITES)) return;
    const chosen = kind.digits(data, row)[Number(event.code.slice(5)) - 1];
    if (!chosen) return;
    event.preventDefault();
    set(chosen);
    const [field, value] = Object.entries(chosen)[0];
    box.current.querySelector(`input[type=radio][name="${field}"][value="${CSS.escape(value)}"]`)?.focus({ preventScroll: true }); // Enter submits what was chosen
  };

  const Fields = kind.fields;
  return html`
    <form class=${`work ${name}`} ref=${box} onSubmit=${submit} onKeyDown=${onKeyDown} novalidate autocomplete="off" tabindex="-1" aria-label=${label("action", name)}>
      <h3>${label("action", name)}</h3>
      <${Fields} values=${filled} set=${set} data=${data} row=${row} />
      ${error && html`<p class="error" role="alert">${error}</p>`}
      <div class="form-foot">
        <button type="submit" class="primary" disabled=${busy}>${t("form.submit")} <kbd>Ctrl+Enter</kbd></button>
        <button type="button" onClick=${() => { closeForm(); focusIncident(); }}>${t("form.cancel")} <kbd>Esc</kbd></button>
      </div>
    </form>`;
}
