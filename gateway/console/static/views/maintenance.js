// A device that cries again and again: put it into maintenance or test for some hours. Presses for help go on sounding.
import { signal } from "@preact/signals";
import { now } from "../clock.js";
import { ask, notice } from "../commands.js";
import { label, t } from "../i18n.js";
import { rowOf } from "../store.js";
import { html, who } from "../ui.js";
import { focusQueue } from "../work.js";
import { AskForm, Choice, Text } from "./fields.js";

const HOUR_MS = 3_600_000;
const LONGEST = { maintenance: ["1", "4", "8"], test: ["1", "8", "24"] }; // hours, as the core has them

/** The incident whose device the form is about, or null. */
export const maintained = signal(null);

function Fields({ values, set }) {
  return html`<${Choice} name="value" required=${true} options=${Object.keys(LONGEST)} text=${(one) => label("maintenance", one)} values=${values} set=${set} />
    ${values.value && html`<${Choice} name="hours" required=${true} options=${LONGEST[values.value]} text=${(n) => t("lasted.hours_only", { n })} values=${values} set=${set} />`}
    <${Text} name="reason" required=${true} rows=${2} limit=${200} values=${values} set=${set} />`;
}

export function MaintenanceForm({ id }) {
  const row = rowOf(id);
  const name = row ? `${who(row, "row")} ${label("kind", row.kind)}` : id;
  const check = (values) => (values.value ? (values.hours ? (values.reason?.trim() ? null : "missing_reason") : "missing_until") : "missing_value");
  const submit = async (values) => {
    const until = new Date(now() + Number(values.hours) * HOUR_MS - 1000).toISOString();
    const answer = await ask(name, "/api/v1/maintenance", { incident: id, value: values.value, until, reason: values.reason });
    if (answer.ok) notice(() => t("maintenance.done", { name, value: label("maintenance", values.value) }));
    return answer.ok;
  };
  const close = () => {
    maintained.value = null;
    focusQueue();
  };
  return html`<${AskForm} name="maintenance" title=${t("maintenance.title", { name })} fields=${Fields} note=${t("maintenance.explain")} check=${check} submit=${submit} close=${close} />`;
}
