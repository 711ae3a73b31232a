// The action plan: what is to be done in which order, what is done, and what ticked it. Space ticks the next step.
import { send } from "../commands.js";
import { label, language, t } from "../i18n.js";
import { html } from "../ui.js";
import { detail, opened } from "../work.js";

/** What a step says: in the words of this place, else in ours. */
export const stepText = (step) => step.text?.[language.value] || label("step", step.id);

/** Required steps that are open. */
export const missingSteps = (data) => (data?.plan ?? []).filter((step) => step.required && !step.done);

const tick = (id, step) => send(id, "step", { step: step.id });

/** Tick the next open step of the plan of the opened incident. */
export function nextStep() {
  const data = detail.value?.id === opened.value ? detail.value?.data : null;
  const step = data?.plan?.find((one) => !one.done);
  if (step) tick(opened.value, step);
}

export function Plan({ row, data }) {
  const plan = data?.plan ?? [];
  if (plan.length === 0) return null;
  const next = row.state === "closed" ? null : plan.find((step) => !step.done);
  return html`<section class="plan"><h3>${t("plan.title")} <kbd>Space</kbd></h3>
    <ol>${plan.map((step) => html`
      <li key=${step.id} class=${step.done ? "done" : step === next ? "next" : ""}>
        <button disabled=${step.done || row.state === "closed"} onClick=${() => tick(row.id, step)} title=${step.by_itself ? t("plan.by_itself") : ""}>
          <i aria-hidden="true">${step.done ? "✓" : step === next ? "▸" : "□"}</i> ${stepText(step)}${step.required ? html`<span class="required" title=${t("plan.required")}>*</span>` : ""}${step.by_itself ? html` <span class="quiet small">${t("plan.itself")}</span>` : ""}
        </button>
      </li>`)}</ol>
  </section>`;
}

/** The required steps that stand before the end, each to be ticked where one is. */
export function Missing({ row, data }) {
  const open = missingSteps(data);
  if (open.length === 0) return null;
  return html`<div class="error missing"><p>${t("reason.steps_missing", { steps: open.map(stepText).join(", ") })}</p>
    ${open.map((step) => html`<button type="button" key=${step.id} onClick=${() => tick(row.id, step)}>□ ${stepText(step)} · ${t("plan.done_now")}</button>`)}
  </div>`;
}
