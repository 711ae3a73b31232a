// Forms of the closed loop: waive the call-back, handle a complaint, hold, merge, split, cancel a request. Rows of FORMS in forms.js.
import { useState } from "preact/hooks";
import { label, t } from "../i18n.js";
import { rows } from "../store.js";
import { html, where, who } from "../ui.js";
import { Choice, Text, Tick, When, asInstant } from "./fields.js";

const FINDINGS = ["justified", "partly", "unjustified"];
const LEAST_REASON = 8; // characters of a waiver, as the core has it
const OFFERED = 6; // incidents to merge into: the likely ones; others are found by typing

const said = (text) => Boolean(text?.trim());

/** What this one can be put into, the likely first: the same person, then the same place, then what was opened nearest in time. */
function targets(row, wanted) {
  const text = (one) => `${one.id} ${one.name ?? ""} ${where(one) ?? ""} ${label("kind", one.kind)}`.toLowerCase();
  const apart = (one) => Math.abs(Date.parse(one.opened_at) - Date.parse(row.opened_at));
  const likely = (one) => (row.name && one.name === row.name && one.age === row.age ? 0 : 2) + (row.place && one.place === row.place ? 0 : 1);
  return rows.value
    .filter((one) => one.id !== row.id && (one.state === "raised" || one.state === "acknowledged") && text(one).includes(wanted.trim().toLowerCase()))
    .sort((a, b) => likely(a) - likely(b) || apart(a) - apart(b))
    .slice(0, OFFERED);
}

function Merge({ row, values, set }) {
  const [wanted, setWanted] = useState("");
  const list = targets(row, wanted);
  return html`<label class="field"><span>${t("merge.find")}</span><input type="search" name="find" value=${wanted} onInput=${(event) => setWanted(event.target.value)} /></label>
    <fieldset class="field merge-into"><legend>${t("field.into")}<b class="required">*</b></legend>
      ${list.length === 0 && html`<p class="quiet">${t("merge.none")}</p>`}
      ${list.map((one) => html`<label key=${one.id}><input type="radio" name="into" value=${one.id} checked=${values.into === one.id} onChange=${() => set("into", one.id)} />
        <b>${one.id}</b> ${label("kind", one.kind)} ${who(one)} <span class="quiet">${where(one) ?? ""}</span></label>`)}
    </fieldset>
    ${mayDiffer(row, list.find((one) => one.id === values.into)) && html`<${Tick} name="different" values=${values} set=${set} text=${t("merge.different")} />`}
    <p class="quiet small">${t("merge.explain")}</p>`;
}

/** Both are somebody's, and nothing here says that it is the same one: the server asks for the tick where it is not. */
const mayDiffer = (row, other) => Boolean(row.name && other?.name);

const partText = (part) => (part.what === "call" ? t("split.call") : t("split.device", { name: part.name }));

export const LOOP_FORMS = {
  waive: {
    isStateful: true,
    fields: (props) => html`<${Text} name="reason" required=${true} rows=${2} ...${props} /><p class="quiet small">${t("waive.explain")}</p>`,
    check: (values) => ((values.reason ?? "").trim().length >= LEAST_REASON ? null : "reason_too_short"),
    body: (values) => ({ reason: values.reason.trim() }),
  },
  handle: {
    isStateful: true,
    digits: () => FINDINGS.map((finding) => ({ finding })),
    fields: (props) => html`<${Choice} name="finding" required=${true} options=${FINDINGS} keyed=${FINDINGS} text=${(one) => label("finding", one)} ...${props} /><${Text} name="note" required=${true} rows=${2} ...${props} />`,
    check: (values) => (values.finding ? (said(values.note) ? null : "missing_note") : "missing_finding"),
    body: (values) => ({ finding: values.finding, note: values.note }),
  },
  hold: {
    fields: (props) => html`<${When} name="until" required=${true} ...${props} /><${Text} name="reason" required=${true} rows=${2} ...${props} /><p class="quiet small">${t("hold.explain")}</p>`,
    check: (values) => (values.until ? (said(values.reason) ? null : "missing_reason") : "missing_until"),
    body: (values) => ({ until: asInstant(values.until), reason: values.reason }),
  },
  merge: {
    isStateful: true,
    fields: Merge,
    check: (values) => (values.into ? null : "missing_into"),
    body: (values) => ({ into: values.into, ...(values.different ? { different: true } : {}) }),
  },
  split: {
    digits: (data) => (data?.incident.parts ?? []).map((part) => ({ part: part.id })),
    fields: (props) => html`<${Choice} name="part" required=${true} options=${(props.data?.incident.parts ?? []).map((part) => part.id)} keyed=${(props.data?.incident.parts ?? []).map((part) => part.id)}
      text=${(id) => partText(props.data.incident.parts.find((part) => part.id === id))} ...${props} /><p class="quiet small">${t("split.explain")}</p>`,
    check: (values, data) => (data?.incident.parts.some((part) => part.id === values.part) ? null : "missing_device"),
    body: (values, data) => ({ [data.incident.parts.find((part) => part.id === values.part).what]: values.part }),
  },
  cancel: {
    fields: (props) => html`<${Text} name="reason" rows=${2} ...${props} />`,
    check: () => null,
    body: (values) => (said(values.reason) ? { reason: values.reason } : {}),
  },
};
