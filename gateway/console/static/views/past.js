// What the incident pane shows of the past, in one piece: recordings of its calls, what was with person and device, and the way to paper.
import { t } from "../i18n.js";
import { later } from "../later.js";
import { html } from "../ui.js";
import { view } from "../work.js";
import { Recordings } from "./recordings.js";
import { StoriesOf } from "./story.js";

const openPast = later(() => import("./history.js"), "openPast");
const printIncident = later(() => import("./print.js"), "printIncident");

export function PastOf({ row }) {
  return html`<${Recordings} row=${row} />
    <${StoriesOf} id=${row.id} show=${openPast} />
    ${view.value !== "history" && html`<p class="to-paper"><button class="small" onClick=${() => printIncident(row.id)}>${t("print.open")}</button></p>`}`;
}
