// Forms that are also meant for several rows at once, or put a row aside: reassign, shelve. Rows of FORMS in forms.js.
import { now } from "../clock.js";
import { label, t } from "../i18n.js";
import { operators } from "../store.js";
import { html } from "../ui.js";
import { Choice, Text } from "./fields.js";

const HOURS = ["1", "2", "4", "8"]; // no longer than a shift, as the core has it
const HOUR_MS = 3_600_000;

/** Who is on duty, with what they have in hand; the one who has it already is left out. */
export function Assignee({ row, values, set }) {
  const others = free(row);
  return html`<fieldset class="field assignee"><legend>${t("field.assignee")}<b class="required">*</b></legend>
    ${others.length === 0 && html`<p class="quiet">${t("assign.nobody")}</p>`}
    ${others.map((one, i) => html`<label key=${one.id}><input type="radio" name="to" value=${one.name} checked=${values.to === one.name} onChange=${() => set("to", one.name)} />
      ${i < 9 && html`<kbd>${i + 1}</kbd>`}
      <b>${one.name}</b> <span class="quiet">${t("assign.load", { n: one.load })}${one.sound ? "" : ` · ${t("assign.no_sound")}`}</span></label>`)}
  </fieldset>`;
}

const free = (row) => operators.value.filter((one) => one.name !== row?.owner);

export const ROW_FORMS = {
  assign: {
    digits: (_, row) => free(row).map((one) => ({ to: one.name })),
    fields: Assignee,
    check: (values) => (values.to ? null : "missing_assignee"),
    body: (values) => ({ to: values.to }),
  },
  shelve: {
    digits: () => HOURS.map((hours) => ({ hours })),
    fields: (props) => html`<${Choice} name="hours" required=${true} options=${HOURS} keyed=${HOURS} text=${(one) => label("shelve_hours", one)} ...${props} />
      <${Text} name="reason" required=${true} rows=${2} limit=${200} ...${props} /><p class="quiet small">${t("shelve.explain")}</p>`,
    check: (values) => (values.hours ? (values.reason?.trim() ? null : "missing_reason") : "missing_until"),
    body: (values) => ({ until: new Date(now() + Number(values.hours) * HOUR_MS - 1000).toISOString(), reason: values.reason }),
  },
};
