// What was with one person or device lately: ninety days in figures, and the newest incidents.
import { useEffect } from "preact/hooks";
import { label, t } from "../i18n.js";
import { question } from "../reading.js";
import { Mark, Time, html, who } from "../ui.js";

/** story: as the server tells it; show(id) opens one of the incidents; brief: the figures alone, as the incidents stand below. */
export function Story({ story, show, brief = false }) {
  if (!story) return null;
  const name = story.person ? `${story.person.name} ${story.person.age ? t("person.age", { n: story.person.age }) : ""}` : story.id;
  const figures = [["incidents", story.incidents], ["falls", story.falls], ["false_alarms", story.false_alarms], ["complaints", story.complaints]];
  return html`<section class="story"><h3>${t(`story.${story.of}`)} <b>${name}</b> <span class="quiet">${t("story.days", { n: story.days })}</span></h3>
    <dl class="figures">${figures.map(([key, value]) => html`<div key=${key} class=${value ? "some" : ""}><dt>${t(`story.${key}`)}</dt><dd>${value}</dd></div>`)}
      <div key="arrival"><dt>${t("story.arrival")}</dt><dd>${story.arrival_min === null ? "–" : t("story.minutes", { n: story.arrival_min })}</dd></div></dl>
    ${brief ? "" : story.latest.length === 0 ? html`<p class="quiet">${t("story.none")}</p>` : html`<ul class="latest">${story.latest.map((row) => html`
      <li key=${row.id}><button class="small" onClick=${() => show(row.id)}>${row.id}</button> <${Time} at=${row.opened_at} /> <${Mark} severity=${row.severity} />
        ${label("kind", row.kind)} ${story.of === "device" ? html`<span class="quiet">${who(row)}</span>` : ""}
        <b>${row.outcome ? label("outcome", row.outcome) : label("state", row.state)}</b>${row.complaint ? html` <span class="flag">${t("history.complained")}</span>` : ""}</li>`)}</ul>`}
  </section>`;
}

const asked = question();
let askedFor = null;

/** What is told of this incident's person and device, or null: for the card above. */
export const toldOf = (id) => (asked.state.value.data?.incident === id ? asked.state.value.data : null);

/** Both stories of an incident, read when it is opened. */
export function StoriesOf({ id, show }) {
  useEffect(() => {
    if (askedFor !== id) asked.state.value = { data: null, at: "", error: "", busy: false };
    askedFor = id;
    asked.ask(`/api/v1/incidents/${encodeURIComponent(id)}/history`);
  }, [id]);
  const { data } = asked.state.value;
  if (!data || data.incident !== id) return null;
  const isSame = data.person && data.device && data.person.latest.length === data.device.latest.length && data.person.incidents === data.device.incidents;
  return html`<${Story} story=${data.person} show=${show} />${!isSame && html`<${Story} story=${data.device} show=${show} />`}`;
}
