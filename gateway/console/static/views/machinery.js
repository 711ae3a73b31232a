// How the machinery does: lines, senders that run away, gaps, what was refused, consoles with sound, reports upward. Nobody's name.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { notice, rule } from "../commands.js";
import { faultText } from "../fault.js";
import { label, t } from "../i18n.js";
import { later } from "../later.js";
import { question } from "../reading.js";
import { lines as liveLines } from "../store.js";
import { Ago, Time, html, lasted } from "../ui.js";
import { open, reachable } from "../work.js";
import { AskForm, Choice, ReasonField, When, asInstant } from "./fields.js";
import { SelfTest } from "./self_test.js";

const openVersion = later(() => import("./devices.js"), "openVersion");

const READ_MS = 15_000;
const LINE_MARKS = { live: "●", connecting: "◌", suspect: "◌", lost: "✕" };
const SHIFT_MS = 8 * 3_600_000;

const ops = question();
const asking = signal(null); // the sender whose form is open: "line ref"

/** The answer, for the frame around. */
export const machineryState = ops.state;
export const readMachinery = () => ops.ask("/api/v1/ops");

const nameOf = (one) => `${one.line} ${one.ref}`;

function Figure({ name, children, bad = false }) {
  return html`<span class=${bad ? "bad" : ""}>${t(`ops.${name}`)} <b>${children}</b></span>`;
}

function Figures({ data }) {
  const { overdue, path_out: behind, low_battery: low } = data.devices;
  const silent = overdue + behind;
  const out = data.lines.filter((line) => (freshOf(line)).state !== "live").length;
  return html`<div class="ops-figures" role="group" aria-label=${t("ops.title")}>
    <${Figure} name="lines_live" bad=${out > 0}>${data.lines.length - out} / ${data.lines.length}<//>
    <${Figure} name="silent" bad=${silent > 0}>${silent}<//>
    <${Figure} name="low">${low}<//>
    ${Object.entries(data.queues).map(([name, n]) => html`<${Figure} key=${name} name=${`queue_${name}`}>${n}<//>`)}
    ${data.upward.length > 0 && html`<${Figure} name="to_report">${Math.max(...data.upward.map((one) => one.lag_entries))}<//>`}
    <span class=${data.self_test === null ? "quiet" : ""}>${t("ops.self_test")}${data.self_test === null ? t("ops.no_self_test") : html` <b class=${data.self_test.state === "failing" ? "bad" : ""}>${label("self_test", data.self_test.state)}</b> ${data.self_test.at ? html`<${Time} at=${data.self_test.at} />` : ""}`}</span>
  </div>`;
}

const freshOf = (line) => ({ ...line, ...(liveLines.value.find((one) => one.id === line.id) ?? {}) }); // the feed is fresher

function Lines({ rows }) {
  return html`<section><h3>${t("bar.lines")}</h3>${rows.length === 0 ? html`<p class="quiet">${t("ops.no_lines")}</p>` : html`<table aria-label=${t("bar.lines")}>
    <thead><tr>${["line", "state", "since", "why"].map((name) => html`<th scope="col" key=${name}>${t(`ops.${name}`)}</th>`)}</tr></thead>
    <tbody>${rows.map(freshOf).map((line) => html`<tr key=${line.id}><td><b>${line.id}</b> <span class="quiet">${line.codec}</span></td>
      <td><span class=${`line-state ${line.state}`}><i aria-hidden="true">${LINE_MARKS[line.state]}</i> ${label("line_state", line.state)}</span></td>
      <td>${line.since ? html`<${Ago} at=${line.since} />` : "–"}</td><td>${line.state !== "live" && line.reason ? faultText(line.reason) : ""}</td></tr>`)}</tbody></table>`}</section>`;
}

/** Of several machines: who decides about which share of the persons. */
function Shards({ rows }) {
  return rows.length > 0 && html`<section><h3>${t("ops.shards")}</h3><table aria-label=${t("ops.shards")}>
    <thead><tr>${["shard", "owner", "epoch", "since", "lag", "as_of"].map((name) => html`<th scope="col" key=${name}>${t(`ops.${name}`)}</th>`)}</tr></thead>
    <tbody>${rows.map((one) => html`<tr key=${one.shard} class=${one.owner ? "" : "runaway"}><td><b>${one.shard}</b></td>
      <td>${one.owner ?? html`<span class="line-state lost"><i aria-hidden="true">✕</i> ${t("ops.no_owner")}</span>`}</td><td class="number">${one.epoch}</td>
      <td>${one.since ? html`<${Ago} at=${one.since} />` : "–"}</td><td class="number">${one.lag_s === null ? "–" : `${one.lag_s} s`}</td>
      <td>${one.as_of ? html`<${Time} at=${one.as_of} />` : "–"}</td></tr>`)}</tbody></table></section>`;
}

const PutFields = (props) => html`<${Choice} name="aside" options=${["maintenance", "test"]} text=${(value) => t(`maintenance.${value}`)} ...${props} values=${{ aside: "maintenance", ...props.values }} />
  <${ReasonField} ...${props} /><${When} name="until" ...${props} />`;

function Put({ one }) {
  const submit = async (values) => {
    const until = asInstant(values.until) ?? new Date(Date.parse(ops.state.value.data.now) + SHIFT_MS - 60_000).toISOString();
    const answer = await rule(one.device, "maintenance", { line: one.line, ref: one.ref, value: values.aside ?? "maintenance", until, reason: values.reason.trim() });
    if (answer.ok) {
      notice(() => `${one.device} ${t("ops.put")} ✓`);
      readMachinery();
    }
    return answer.ok;
  };
  return html`<${AskForm} name="put" title=${`${t("ops.to_maintenance")} · ${one.device}`} fields=${PutFields} note=${t("ops.put_note")} check=${(values) => (values.reason?.trim() ? null : "missing_why")} submit=${submit} close=${() => { asking.value = null; }} />`;
}

function Senders({ rows: all }) {
  const rows = all.filter((one) => one.count > 1 || one.maintenance); // once is no runaway
  return html`<section><h3>${t("ops.senders")}</h3>${rows.length === 0 ? html`<p class="quiet">${t("ops.no_senders")}</p>` : html`<table aria-label=${t("ops.senders")}>
    <thead><tr>${["device", "kind", "count", "streak", "offer"].map((name) => html`<th scope="col" key=${name}>${t(`ops.${name}`)}</th>`)}</tr></thead>
    <tbody>${rows.map((one) => html`<tr key=${`${nameOf(one)} ${one.kind}`} class=${one.offer_maintenance ? "runaway" : ""}>
        <td><b>${one.device}</b> <span class="quiet">${one.line}</span></td><td>${label("kind", one.kind)}</td><td class="number">${one.count}</td><td class="number">${one.streak}</td>
        <td class="do">${one.maintenance ? html`<span class="flag">${t(`maintenance.${one.maintenance.value ?? one.maintenance}`)}</span>` : html`<button class=${`small ${one.offer_maintenance ? "primary" : ""}`} onClick=${() => { asking.value = asking.value === nameOf(one) ? null : nameOf(one); }}>${t("ops.to_maintenance")}<span class="unseen"> ${one.device}</span></button>`}</td></tr>
      ${asking.value === nameOf(one) && html`<tr><td colspan="5"><${Put} one=${one} /></td></tr>`}`)}</tbody></table>`}</section>`;
}

/** A list with a line for each, or words when there is none. */
function Listed({ name, rows, counted = true, children }) {
  return html`<section><h3>${t(`ops.${name}`)} <span class="quiet">${(counted && rows.length) || ""}</span></h3>
    ${rows.length === 0 ? html`<p class="quiet">${t(`ops.no_${name}`)}</p>` : html`<ul class="plain">${rows.map(children)}</ul>`}</section>`;
}

function Ears({ data }) {
  const wanted = data.ears_wanted ?? [];
  const rows = [...new Set([...wanted, ...Object.keys(data.ears ?? {})])].sort();
  const nameText = (area) => (area ? data.areas?.[area] ?? area : t("ops.everywhere"));
  return html`<${Listed} name="ears" rows=${rows} counted=${false}>${(area) => {
    const n = data.ears?.[area] ?? 0;
    return html`<li key=${area} class=${n === 0 ? "bad" : ""}>${nameText(area)} <b>${n}</b> ${n === 0 ? html`⚠ ${t("ops.nobody_hears")}` : ""}</li>`;
  }}<//>`;
}

function Upward({ rows }) {
  return html`<${Listed} name="upward" rows=${rows}>${(one) => html`<li key=${one.name} class=${one.failing ? "bad" : ""}><b>${one.name}</b>${" "}
    ${one.failing ? html`✕ ${label("upward_failing", one.failing)}` : html`<span class="good">● ${t("ops.upward_works")}</span>`}
    ${one.lag_entries > 0 && html` <span>${t("ops.behind", { n: one.lag_entries, time: lasted(one.lag_s) })}</span>`}
    ${(one.days ?? []).filter((day) => day.outcome && day.outcome !== "equal").map((day) => html` <span class="flag" key=${day.day}>${day.day} ${label("upward_outcome", day.outcome)}</span>`)}</li>`}<//>`;
}

export function Machinery() {
  useEffect(() => {
    readMachinery();
    const timer = setInterval(readMachinery, READ_MS);
    return () => clearInterval(timer);
  }, []);
  const { data } = ops.state.value;
  if (!data) return null;
  const hasQueue = reachable.value.includes("queue");
  return html`<${Figures} data=${data} />
    <div class="machinery">
      <div><${Lines} rows=${data.lines} /><${Shards} rows=${data.shards} /><${SelfTest} state=${data.self_test} read=${readMachinery} /><${Senders} rows=${data.senders} />
        <${Listed} name="rejected" counted=${false} rows=${data.rejected}>${(one) => html`<li key=${`${one.line} ${one.reason}`}><b>${one.line}</b> ${label("rejection", one.reason)} <b>${one.count}</b></li>`}<//></div>
      <div><${Ears} data=${data} />
        <${Upward} rows=${data.upward} />
        <${Listed} name="after_outage" rows=${data.after_outage}>${(one) => html`<li key=${one.id}><b>${hasQueue ? html`<button class="row small" onClick=${() => open(one.id)}>${one.id}</button>` : one.id}</b> ${one.line} ${t("ops.silent_count", { n: one.count })} <${Ago} at=${one.since} /></li>`}<//>
        <${Listed} name="gaps" rows=${data.gaps}>${(one) => html`<li key=${`${one.line} ${one.at}`}><b>${one.line}</b> <${Time} at=${one.from} /> – <${Time} at=${one.to} /> <span class="quiet">${label("gap_reason", one.reason)}</span></li>`}<//>
        <${Listed} name="firmware" rows=${data.firmware}>${(one) => html`<li key=${`${one.model} ${one.version}`}>${one.model ?? t("devices.no_model")} <b>${one.version}</b>${" "}
          <button class="row small" onClick=${() => openVersion(one.model, one.version)}>${t("ops.devices_count", { n: one.count })}</button></li>`}<//></div>
    </div>`;
}
