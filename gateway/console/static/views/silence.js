// In the incident: who is silent by an outage, and what the devices that cried were told.
import { label, t } from "../i18n.js";
import { later } from "../later.js";
import { Ago, Time, html } from "../ui.js";

const openDevice = later(() => import("./devices.js"), "openDevice");
const openSilent = later(() => import("./devices.js"), "openSilent");

const FEW = 8; // rows shown at once: plan and orders stay in reach

/** How many have left the list, heard again one by one. */
const heardAgain = (data) => (data.timeline ?? []).filter((entry) => entry.kind === "online" && entry.detail?.detail?.reason === "heard_again").length;

/** Up and down go from device to device. */
function moveAmongDevices(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.code];
  if (!step || !event.target.closest("tbody")) return;
  const rows = [...event.currentTarget.querySelectorAll("tbody button")];
  rows[rows.indexOf(event.target) + step]?.focus();
  event.preventDefault();
}

/** What the outage is of: a gateway by its address, a line by its name. */
function pathText(path) {
  const line = /^line:(.*)$/.exec(path);
  return line ? t("row.line", { line: line[1] }) : path;
}

/** The newest entry that says the path, or everybody on the list, is back. */
const backEntry = (data) => [...(data.timeline ?? [])].reverse().find((entry) => entry.kind === "line_restored" || ["path_back", "all_heard_again"].includes(entry.detail?.detail?.reason));

export function Affected({ row, data }) {
  const affected = data?.affected;
  if (!affected) return null;
  const isOver = (row.flags ?? []).includes("ended");
  const heard = heardAgain(data);
  const most = heard + affected.count;
  const back = isOver && backEntry(data);
  const rest = affected.count - Math.min(affected.items.length, FEW);
  const items = affected.items.slice(0, FEW);
  const line = row.line || affected.items[0]?.line;
  return html`<section class=${`affected ${isOver ? "over" : ""}`} onKeyDown=${moveAmongDevices}>
    <h3>${t(isOver ? "affected.were" : "affected.are", { n: affected.count })} <span class="quiet">${affected.path ? pathText(affected.path) : ""}</span></h3>
    ${back && html`<p class="restored"><b>✓ ${t("affected.back")}</b> <${Time} at=${back.at} /> <span class="quiet">${t("affected.back_means")}</span></p>`}
    ${heard > 0 && !isOver && html`<p class="heard-again"><progress max=${most} value=${heard} aria-label=${t("affected.progress", { heard, most })}></progress> ${t("affected.progress", { heard, most })}</p>`}
    ${items.length > 0 && html`<table aria-label=${t("affected.title")}>
      <thead><tr><th scope="col">${t("devices.person")}</th><th scope="col">${t("fault.device")}</th><th scope="col">${t("affected.since")}</th></tr></thead>
      <tbody>${items.map((item) => html`<tr key=${`${item.line} ${item.ref}`}>
        <td>${item.person ?? "–"}</td>
        <td><button class="small" onClick=${() => openDevice(item)}>${item.device}</button></td>
        <td><${Ago} at=${item.since} /></td></tr>`)}</tbody>
    </table>`}
    ${rest > 0 && html`<p>${t("affected.rest", { n: rest })} <button class="small" onClick=${() => openSilent(line)}>${t("affected.all")}</button></p>`}
    ${!isOver && html`<p class="quiet small">${t("affected.order")}</p>`}
  </section>`;
}

const MARKS = { told: "✓", failed: "✕", pending: "…", overtaken: "–" };

/** What the devices were told, newest first. Whether it arrived decides nothing, but the caller may ask. */
export function Tellings({ data }) {
  const tellings = data?.tellings ?? [];
  if (data?.dark) return html`<section class="tellings"><h3>${t("tellings.title")}</h3><p>${t("tellings.dark")}</p></section>`;
  if (tellings.length === 0) return null;
  return html`<section class="tellings"><h3>${t("tellings.title")}</h3>
    <ul>${[...tellings].reverse().map((one, i) => html`<li key=${i} class=${one.state}>
      <i aria-hidden="true">${MARKS[one.state]}</i> <b>${label(`telling_${one.state}`, one.word)}</b>
      <span>${one.line} / ${one.device}</span>${one.reason && html` <span>${label("telling_reason", one.reason)}</span>`} <${Time} at=${one.at} />
    </li>`)}</ul>
  </section>`;
}

/** The newest of it in one phrase, for the head of the incident, which is always in sight. */
export function LastTold({ data }) {
  const one = data?.dark ? null : data?.tellings?.at(-1);
  if (!one) return null;
  const text = label(`telling_${one.state}`, one.word);
  return html`<span class=${`last-told ${one.state}`} title=${text}><i aria-hidden="true">${MARKS[one.state]}</i> ${text}</span>`;
}
