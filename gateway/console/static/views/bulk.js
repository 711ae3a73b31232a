// The pane of what is done to all marked rows: take, reassign, merge; it says what is meant before, and what came of each after.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { send } from "../commands.js";
import { exchange } from "../exchange.js";
import { label, reasonText, t } from "../i18n.js";
import { bulk, doAll, forgetMerger, marked, mergeTarget } from "../marks.js";
import { rowOf } from "../store.js";
import { Mark, Since, html, where, who } from "../ui.js";
import { focusQueue } from "../work.js";
import { stateText } from "./queue.js";
import { Assignee } from "./row_forms.js";

/** id → the person of the incident ("" unknown, null not read yet). Rows are masked, and two people may look alike: the register says who it is. */
function usePersons(ids) {
  const [persons, setPersons] = useState({});
  const wanted = ids.join();
  useEffect(() => {
    const reading = new AbortController();
    const read = async (id) => {
      const { status, body } = await exchange(`/api/v1/incidents/${encodeURIComponent(id)}`, { stop: reading.signal });
      return [id, status === 200 ? body.person?.id ?? "" : ""];
    };
    Promise.all(ids.map(read)).then((found) => setPersons(Object.fromEntries(found)), () => undefined);
    return () => reading.abort();
  }, [wanted]);
  return persons;
}

function Row({ row, children }) {
  return html`<${Mark} severity=${row.severity} /> <b>${row.id}</b> ${label("kind", row.kind)} ${who(row, "row")} <span class="quiet">${where(row) ?? ""}</span> <span class="quiet">${stateText(row)}</span> <${Since} at=${row.opened_at} />${children}`;
}

/** Are the rows of one person, as the register has it? "loading" until that is read, "same", "other", or "unknown". */
function whose(rows, persons) {
  if (rows.some((row) => persons[row.id] === undefined)) return "loading";
  const known = new Set(rows.map((row) => persons[row.id]).filter(Boolean));
  if (known.size > 1) return "other";
  return known.size === 1 && rows.every((row) => persons[row.id]) ? "same" : "unknown";
}

function Merge({ rows, persons, values, set }) {
  const into = values.into ?? mergeTarget(rows);
  const found = whose(rows, persons);
  return html`<fieldset class="field merge-into"><legend>${t("field.into")}<b class="required">*</b></legend>
      ${rows.map((row) => html`<label key=${row.id}><input type="radio" name="into" value=${row.id} checked=${into === row.id} onChange=${() => set("into", row.id)} /> <${Row} row=${row} /></label>`)}
    </fieldset>
    ${found === "loading" ? html`<p class="quiet">${t("form.loading")}</p>` : found === "same" ? html`<p class="good">${t("merge.same_person")}</p>` : html`
      <p class="error">${t(found === "other" ? "merge.other_person" : "merge.unknown_person")}</p>
      <label class="setting"><input type="checkbox" name="different" checked=${Boolean(values.different)} onChange=${(event) => set("different", event.target.checked)} /> ${t("merge.different")}</label>`}
    <p class="quiet small">${t("merge.explain")}</p>`;
}

const KINDS = {
  acknowledge: { check: () => null, body: () => ({}) },
  assign: { check: (values) => (values.to ? null : "missing_assignee"), body: (values) => ({ to: values.to }) },
  merge: {
    check: (values, rows, persons) => (rows.length < 2 ? "too_few_marked" : whose(rows, persons) === "same" || values.different ? null : "different_person"),
    body: (values, rows) => ({ into: values.into ?? mergeTarget(rows), ...(values.different ? { different: true } : {}) }),
  },
};

function Results({ action, results }) {
  const undo = async (id) => {
    const answer = await send(id, "unmerge");
    if (!answer.ok) return;
    forgetMerger(id);
    bulk.value = { ...bulk.value, results: results.map((one) => (one.id === id ? { ...one, ok: false, text: label("kind", "unmerge") } : one)) };
  };
  const done = results.filter((one) => one.ok).length;
  if (results.length === 0) return html`<p class="quiet" role="status">${t("command.sent")}</p>`;
  return html`<p role="status"><b>${t("bulk.done", { action: label("action", action), n: done, of: results.length })}</b></p>
    <ul class="results">${results.map((one) => html`<li key=${one.id} class=${one.ok ? "ok" : "not"}><i aria-hidden="true">${one.ok ? "✓" : "✕"}</i> <b>${one.id}</b> ${one.text}
      ${one.ok && action === "merge" && html` <button class="small" onClick=${() => undo(one.id)}><kbd>U</kbd>${label("action", "unmerge")}</button>`}</li>`)}</ul>`;
}

export function closeBulk() {
  bulk.value = null;
  focusQueue();
}

export function Bulk() {
  const { action, results } = bulk.value;
  const box = useRef();
  const [values, setValues] = useState({});
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const rows = marked.value.map(rowOf).filter(Boolean);
  const persons = usePersons(action === "merge" && !results ? rows.map((row) => row.id) : []);
  const kind = KINDS[action];
  useLayoutEffect(() => {
    setValues({});
    setError("");
  }, [action]);
  useLayoutEffect(() => {
    const find = (selector) => box.current?.querySelector(selector);
    (find("input:checked") ?? find("input") ?? find("button"))?.focus({ preventScroll: true });
  }, [action, Boolean(results)]);
  const set = (field, value) => {
    setValues((before) => ({ ...before, [field]: value }));
    setError("");
  };
  const submit = async (event) => {
    event.preventDefault();
    if (busy) return;
    const wrong = rows.length === 0 ? "none_marked" : kind.check(values, rows, persons);
    if (wrong) {
      setError(reasonText({ reason: wrong }));
      return;
    }
    setBusy(true);
    const body = kind.body(values, rows);
    const ids = rows.map((row) => row.id).filter((id) => id !== body.into);
    const list = await doAll(ids, action, body);
    setBusy(false);
    if (bulk.value?.action === action) bulk.value = { action, results: list };
  };
  return html`<section class="incident bulk" aria-label=${t("bulk.title", { action: label("action", action) })} tabindex="-1" ref=${box}>
    <header class="incident-head"><h2>${t("bulk.title", { action: label("action", action) })} <span class="quiet">${results ? "" : t("marks.count", { n: rows.length })}</span></h2></header>
    <div class="incident-body">
      ${results ? html`<${Results} action=${action} results=${results} /><div class="form-foot"><button class="primary" onClick=${closeBulk}>${t("help.close")} <kbd>Esc</kbd></button></div>` : html`
      <form class=${`work bulk ${action}`} onSubmit=${submit} novalidate autocomplete="off">
        ${action === "merge" ? html`<${Merge} rows=${rows} persons=${persons} values=${values} set=${set} />` : html`<ul class="results">${rows.map((row) => html`<li key=${row.id}><${Row} row=${row} /></li>`)}</ul>`}
        ${action === "assign" && html`<${Assignee} values=${values} set=${set} />`}
        ${error && html`<p class="error" role="alert">${error}</p>`}
        <div class="form-foot"><button type="submit" class="primary" disabled=${busy}>${t("form.submit")} <kbd>Ctrl+Enter</kbd></button>
          <button type="button" onClick=${closeBulk}>${t("form.cancel")} <kbd>Esc</kbd></button></div>
      </form>`}
    </div>
  </section>`;
}
