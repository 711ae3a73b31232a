// Devices: how many of each class do well, the lines and their mapping profiles, the list by state, and one device in full.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { faultText } from "../fault.js";
import { label, t } from "../i18n.js";
import { question } from "../reading.js";
import { lines as liveLines, role } from "../store.js";
import { Ago, Countdown, Time, html, lasted } from "../ui.js";
import { open, view } from "../work.js";
import { Machinery, machineryState, readMachinery } from "./machinery.js";
import { Ops } from "./ops.js";

const STATES = ["", "overdue", "never", "path_out", "low_battery", "unknown"];
const COUNTED = ["alive", "overdue", "never", "path_out", "low_battery", "unsupervised"];
const PAGE = 100; // as the server has it
const STEPS = 20; // answers read in a row while a rare state is looked for: all of 400,000 devices

const EVERYTHING = { state: "", line: "", class: "", model: "", firmware: "" };
const wanted = signal({ ...EVERYTHING, state: "overdue" });
const list = question();
const lineList = question();
const one = question();
const chosen = signal(null);
const TABS = ["machinery", "devices"];
const KEEPERS = ["supervisor", "ops", "local"]; // who has the view of the machinery (gateway/console/rights.py)
const tab = signal(null); // null: where the role begins

/** The address of a device's own answer. */
export const pathOf = (device) => `/api/v1/devices/${encodeURIComponent(device.line ?? "*")}/${encodeURIComponent(device.ref)}`;

async function load(after = null) {
  const filter = wanted.value;
  const enough = after === null ? PAGE : (list.state.value.data?.devices.length ?? 0) + PAGE;
  let next = after;
  for (let step = 0; step < STEPS; step += 1) {
    const query = new URLSearchParams({ ...filter, ...(next ? { after: next } : {}) });
    for (const name of Object.keys(filter)) if (!filter[name]) query.delete(name);
    const isMore = next !== null;
    const answer = await list.ask(`/api/v1/devices?${query}`, (data, before) => (isMore ? { ...data, devices: [...(before?.devices ?? []), ...data.devices] } : data));
    if (answer === "cursor_expired") return load(); // the register was read anew: from the top
    next = list.state.value.data?.after ?? null;
    if (answer !== true || next === null || list.state.value.data.devices.length >= enough || wanted.value !== filter) return undefined;
  }
  return undefined;
}

function choose(filter) {
  wanted.value = { ...wanted.value, ...filter };
  load();
}

function again() {
  load();
  lineList.ask("/api/v1/lines");
  if (chosen.value) one.ask(pathOf(chosen.value));
}

/** Show one device; from another view as well. */
export function openDevice(device) {
  view.value = "devices";
  tab.value = "devices";
  chosen.value = device;
  one.ask(pathOf(device));
}

/** Show which devices run a version. */
export function openVersion(model, firmware) {
  tab.value = "devices";
  choose({ ...EVERYTHING, model: model ?? "", firmware });
}

/** Show what is behind an outage. */
export function openSilent(line) {
  wanted.value = { ...EVERYTHING, state: "path_out", line: line ?? "" };
  view.value = "devices";
  tab.value = "devices";
}

function Counts({ data }) {
  const counts = data?.counts ?? [];
  const shown = COUNTED.filter((state) => state !== "unsupervised" || counts.some((row) => row.unsupervised));
  return html`<section class="counts"><h3>${t("devices.counts")}</h3>
    <table aria-label=${t("devices.counts")}>
      <thead><tr><th scope="col">${t("devices.class")}</th>${shown.map((state) => html`<th scope="col" key=${state}>${label("device_state", state)}</th>`)}</tr></thead>
      <tbody>${counts.map((row) => html`<tr key=${row.class}>
        <th scope="row">${row.class || t("devices.no_class")}</th>
        ${shown.map((state) => html`<td key=${state} class=${row[state] ? state : "none"}>${row[state] && STATES.includes(state)
          ? html`<button class="small" aria-label=${`${row.class || t("devices.no_class")} ${label("device_state", state)} ${row[state]}`} onClick=${() => choose({ ...EVERYTHING, state, class: row.class })}>${row[state]}</button>`
          : row[state]}</td>`)}
      </tr>`)}</tbody>
    </table>
    ${data && html`<p class="quiet small">${t("devices.strangers", { n: data.unknown })}</p>`}
  </section>`;
}

const LINE_MARKS = { live: "●", connecting: "◌", suspect: "◌", lost: "✕" };

function Lines({ lines }) {
  const now = new Map(liveLines.value.map((line) => [line.id, line])); // the feed is fresher
  return html`<section class="line-list"><h3>${t("bar.lines")}</h3>
    <ul>${(lines ?? []).map((read) => {
      const line = { ...read, ...now.get(read.id) };
      return html`<li key=${line.id}>
        <span class=${`line-state ${line.state}`}><i aria-hidden="true">${LINE_MARKS[line.state]}</i> ${label("line_state", line.state)}</span>
        <b>${line.id}</b> <span class="quiet">${line.codec}</span> ${line.state !== "live" && line.reason ? html`<span>${faultText(line.reason)}</span>` : ""}
        ${read.profiles?.length > 0 && html`<ul class="profiles" aria-label=${t("profiles.title")}>${read.profiles.map((one) => html`
          <li key=${one.name} class=${one.state}><span class="profile-state">${label("profile_state", one.state)}</span> <b>${one.name}</b>
            ${one.state !== "running" && html`<p>${t(`profiles.${one.state}`)} ${one.fault && html`<code lang="en">${one.fault}</code>`}</p>`}</li>`)}</ul>`}
      </li>`;
    })}</ul>
  </section>`;
}

function StateWord({ device }) {
  const isLow = device.low_battery && device.state !== "low_battery";
  return html`<span class=${`device-state ${device.state}`}>${label("device_state", device.state)}</span>${isLow && html` <span class="device-state low_battery">${label("device_state", "low_battery")}</span>`}`;
}

const battery = (pct) => (pct === null || pct === undefined ? "–" : `${Math.round(pct)}%`);

function Rows({ devices }) {
  return html`<table class="device-rows" aria-label=${t("view.devices")}>
    <thead><tr>${["address", "state", "heard", "battery", "person", "place", "class", "line", "via"].map((name) => html`<th scope="col" key=${name}>${t(`devices.${name}`)}</th>`)}</tr></thead>
    <tbody>${devices.map((device) => html`<tr key=${`${device.line} ${device.ref}`} class=${chosen.value?.ref === device.ref && chosen.value?.line === device.line ? "on" : ""}>
      <td><button class="row" onClick=${() => openDevice(device)}>${device.address}</button></td>
      <td><${StateWord} device=${device} /></td>
      <td><${Ago} at=${device.heard_at} /></td>
      <td class=${device.low_battery ? "low" : ""}>${battery(device.battery_pct)}</td>
      <td>${device.person?.name ?? "–"}</td>
      <td>${device.place ?? "–"}</td>
      <td>${device.class ?? "–"}</td>
      <td>${device.line ?? "–"}</td>
      <td>${device.via ?? "–"}</td>
    </tr>`)}</tbody>
  </table>`;
}

function List({ state }) {
  const { data, busy } = state;
  const filter = wanted.value;
  const classes = (data?.counts ?? []).map((row) => row.class).filter(Boolean);
  const lineNames = liveLines.value.map((line) => line.id).sort();
  return html`<section class="device-list">
    <div class="filters" role="group" aria-label=${t("queue.tabs")}>
      ${STATES.map((name) => html`<button key=${name} aria-pressed=${filter.state === name ? "true" : "false"} onClick=${() => choose({ state: name, ...(name === "unknown" ? { class: "", model: "", firmware: "" } : {}) })}>${name ? label("device_state", name) : t("tab.all")}</button>`)}
      <label>${t("devices.line")} <select value=${filter.line} onChange=${(event) => choose({ line: event.target.value })}>
        <option value="">${t("tab.all")}</option>${lineNames.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
      <label>${t("devices.class")} <select value=${filter.class} disabled=${filter.state === "unknown"} onChange=${(event) => choose({ class: event.target.value })}>
        <option value="">${t("tab.all")}</option>${classes.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></label>
      ${filter.firmware && html`<button aria-pressed="true" title=${t("devices.any_version")} onClick=${() => choose({ model: "", firmware: "" })}>${t("devices.firmware")} ${filter.model} ${filter.firmware} ✕<span class="unseen"> ${t("devices.any_version")}</span></button>`}
    </div>
    ${data && (data.devices.length ? html`<${Rows} devices=${data.devices} />` : !busy && !data.after && html`<p class="nothing-here">${t("devices.none")}</p>`)}
    ${data?.after && html`<button class="more" disabled=${busy} onClick=${() => load(data.after)}>${t("devices.more")}</button>`}
  </section>`;
}

/** One device in full. */
function Device() {
  const { data, error } = one.state.value;
  if (!chosen.value) return html`<aside class="device-detail" aria-label=${t("devices.detail")}><p class="quiet">${t("devices.choose")}</p></aside>`;
  const device = data?.device;
  if (!device) return html`<aside class="device-detail" aria-label=${t("devices.detail")}><p class=${error ? "error" : "quiet"}>${error || t("form.loading")}</p></aside>`;
  const rest = device.due_at ? Date.parse(device.due_at) : NaN;
  return html`<aside class="device-detail" aria-label=${t("devices.detail")}>
    <h3>${device.address}</h3>
    <p><${StateWord} device=${device} /></p>
    <p class="quiet small">${t(`device_says.${device.state}`)}</p>
    <dl>
      <dt>${t("devices.heard")}</dt><dd><${Ago} at=${device.heard_at} /></dd>
      ${device.due_at && html`<dt>${t("devices.due")}</dt><dd><${Countdown} at=${rest} /> <${Time} at=${device.due_at} /></dd>`}
      ${device.interval_s && html`<dt>${t("devices.interval")}</dt><dd>${t("devices.interval_grace", { interval: lasted(device.interval_s), grace: lasted(device.grace_s) })}</dd>`}
      <dt>${t("devices.battery")}</dt><dd class=${device.low_battery ? "low" : ""}>${battery(device.battery_pct)} ${device.battery_low_pct !== undefined && device.battery_low_pct !== null && html`<span class="quiet">${t("devices.low_at", { n: device.battery_low_pct })}</span>`}</dd>
      <dt>${t("devices.person")}</dt><dd>${device.person?.name ?? "–"}</dd>
      <dt>${t("devices.place")}</dt><dd>${device.place ?? "–"}</dd>
      <dt>${t("devices.class")}</dt><dd>${device.class ?? "–"}</dd>
      <dt>${t("devices.line")}</dt><dd>${device.line ?? "–"}</dd>
      ${device.via && html`<dt>${t("devices.via")}</dt><dd>${device.via}</dd>`}
      ${device.model && html`<dt>${t("devices.model")}</dt><dd>${device.model}</dd>`}
      ${device.firmware && html`<dt>${t("devices.firmware")}</dt><dd>${device.firmware}</dd>`}
      ${device.behind > 0 && html`<dt>${t("devices.behind")}</dt><dd>${t("devices.behind_count", { n: device.behind, silent: device.behind_silent })}</dd>`}
      ${device.registered === false && device.registered_on.length > 0 && html`<dt>${t("devices.registered_on")}</dt><dd>${device.registered_on.join(" ")}</dd>`}
      ${device.states.length > 0 && html`<dt>${t("devices.told")}</dt><dd>${device.states.map((state) => html`<div key=${state.name}>${label("edge", state.name)} <${Time} at=${state.since} /></div>`)}</dd>`}
    </dl>
    ${device.incident && html`<button onClick=${() => open(device.incident)}>${t("devices.incident", { id: device.incident })}</button>`}
  </aside>`;
}

export function Devices() {
  const isKeeper = KEEPERS.includes(role.value);
  const shown = tab.value ?? (role.value === "ops" ? "machinery" : "devices");
  const isMachinery = isKeeper && shown === "machinery";
  useEffect(again, []);
  const state = isMachinery ? machineryState.value : list.state.value;
  return html`<${Ops} name="devices" state=${state} again=${isMachinery ? readMachinery : again}>
    ${isKeeper && html`<div class="filters desk-tabs" role="group" aria-label=${t("view.devices")}>${TABS.map((name) => html`
      <button key=${name} aria-pressed=${shown === name ? "true" : "false"} onClick=${() => { tab.value = name; }}>${t(`ops.tab_${name}`)}</button>`)}</div>`}
    ${isMachinery ? html`<${Machinery} />` : html`<${Inventory} state=${state} />`}
  <//>`;
}

function Inventory({ state }) {
  return html`<div class="ops-top"><${Counts} data=${state.data} /><${Lines} lines=${lineList.state.value.data?.lines} /></div>
    <div class="ops-main"><${List} state=${state} /><${Device} /></div>`;
}
