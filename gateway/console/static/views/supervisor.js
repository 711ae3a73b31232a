// The supervisor's desk: who works, what waits where, what stands still, what was put aside; and deciding about it.
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { acknowledge, notice, rule } from "../commands.js";
import { label, t } from "../i18n.js";
import { question } from "../reading.js";
import { LEVELS, counts, me, rowOf } from "../store.js";
import { Ago, Mark, Since, Time, html, where, who } from "../ui.js";
import { open, view } from "../work.js";
import { AskForm, Choice, Pick, ReasonField, Text, When, asInstant } from "./fields.js";
import { Figures } from "./figures.js";
import { Ops } from "./ops.js";
import { ownKeys } from "./own_keys.js";

const READ_MS = 10_000; // what is no object of the feed is read anew that often
const TABS = ["now", "aside", "log", "figures"];
const SWITCHES = ["auto", "on", "off"];
const RULINGS = ["frozen", "lost", "saturated"];

const desk = question();
const tab = signal("now");
const marked = signal(new Set());
const asking = signal(null); // {form, …}: the form that is open

const load = () => desk.ask("/api/v1/desk");
const close = () => { asking.value = null; };

async function done(name, what, body, said) {
  const answer = await rule(name, what, body);
  if (answer.ok) {
    notice(said(answer.body));
    load();
  }
  return answer.ok;
}

// --- incidents that stand still ---

function toggle(id) {
  const next = new Set(marked.value);
  if (!next.delete(id)) next.add(id);
  marked.value = next;
}

/** One incident into one's own hands: taken if nobody has it, taken over if somebody has. */
async function takeOver(id) {
  const row = rowOf(id) ?? desk.state.value.data?.stalled.find((one) => one.id === id);
  if (!row || row.owner === me.value) return;
  if (row.state === "raised" && rowOf(id)) await acknowledge(id);
  else await done(id, `incidents/${encodeURIComponent(id)}/assign`, { to: me.value }, () => () => t("supervisor.taken_over", { id }));
  load();
}

function reassign(id) {
  if (id && marked.value.size === 0) marked.value = new Set([id]);
  if (marked.value.size > 0) asking.value = { form: "reassign" };
}

const idOf = (target) => target?.closest?.("[data-id]")?.dataset.id;
const KEYS = ownKeys({
  KeyA: (target) => { if (idOf(target)) takeOver(idOf(target)); },
  KeyX: (target) => { if (idOf(target)) toggle(idOf(target)); },
  KeyT: (target) => reassign(idOf(target)),
});

function Stalled({ rows }) {
  return html`<section class="stalled" onKeyDown=${KEYS}><h3>${t("supervisor.stalled")} <span class="quiet">${rows.length || ""}</span>
      ${marked.value.size > 0 && html`<button class="small primary" onClick=${() => reassign()}>${t("supervisor.reassign_marked", { n: marked.value.size })} <kbd>T</kbd></button>`}</h3>
    ${rows.length === 0 ? html`<p class="nothing-here">${t("supervisor.none_stalled")}</p>` : html`<table aria-label=${t("supervisor.stalled")}>
      <thead><tr>${["mark", "incident", "what", "owner", "since", "actions"].map((name) => html`<th scope="col" key=${name}>${t(`supervisor.${name}`)}</th>`)}</tr></thead>
      <tbody>${rows.map((read) => {
        const row = rowOf(read.id) ?? read;
        return html`<tr key=${row.id} data-id=${row.id} class=${marked.value.has(row.id) ? "on" : ""}>
          <td><input type="checkbox" checked=${marked.value.has(row.id)} onChange=${() => toggle(row.id)} aria-label=${t("supervisor.mark_one", { id: row.id })} /></td>
          <td><${Mark} severity=${row.severity} /> <button class="row" onClick=${() => open(row.id)}>${row.id}</button> ${label("kind", row.kind)}</td>
          <td>${who(row, "row")} · ${where(row) ?? "–"} ${(row.flags ?? []).filter((flag) => flag === "escalated" || flag === "stalled").map((flag) => html`<span class="flag" key=${flag}>${label("flag", flag)}</span> `)}</td>
          <td>${row.owner ?? "–"} <span class="quiet">${label("state", row.state)}</span></td>
          <td><${Since} at=${row.opened_at} /></td>
          <td class="do"><button class="small" disabled=${row.owner === me.value} onClick=${() => takeOver(row.id)}>${t("supervisor.take_over")} <kbd>A</kbd><span class="unseen"> ${row.id}</span></button></td>
        </tr>`;
      })}</tbody></table>
      <p class="quiet small"><kbd>A</kbd>${t("supervisor.take_over")} <kbd>X</kbd>${t("supervisor.mark")} <kbd>T</kbd>${t("supervisor.reassign")} <kbd>↑↓</kbd></p>`}
  </section>`;
}

/** One component for good: a new one with every drawing would take the focus out of its field. */
const AssigneeField = (props) => html`<${Pick} name="assignee" required=${true} options=${desk.state.value.data.operators.map(({ name }) => [name, name])} ...${props} />`;

function Reassign() {
  const ids = [...marked.value];
  const submit = (values) => done(ids.join(" "), "incidents/bulk", { ids, action: "assign", facts: { to: values.assignee } }, (answer) => {
    const refused = answer.results.filter((one) => one.status !== 200).map((one) => one.id);
    marked.value = new Set(refused);
    return () => `${t("supervisor.reassigned", { done: answer.done, of: answer.of, to: values.assignee })} ${refused.join(" ")}`;
  });
  return html`<${AskForm} name="reassign" title=${t("supervisor.reassign_marked", { n: ids.length })} fields=${AssigneeField}
    note=${ids.join(" ")} check=${(values) => (values.assignee ? null : "missing_assignee")} submit=${submit} close=${close} />`;
}

// --- people and areas ---

function Operators({ rows }) {
  return html`<section><h3>${t("supervisor.operators")} <span class="quiet">${rows.length || ""}</span></h3>
    ${rows.length === 0 ? html`<p class="nothing-here bad">${t("supervisor.nobody")}</p>` : html`<table aria-label=${t("supervisor.operators")}>
      <thead><tr>${["name", "sound", "load", "longest", "does"].map((name) => html`<th scope="col" key=${name}>${t(`supervisor.${name}`)}</th>`)}</tr></thead>
      <tbody>${rows.map((one) => html`<tr key=${one.id}>
        <td><b>${one.name}</b> <span class="quiet">${[one.role && one.role !== "local" ? label("account_role", one.role) : "", one.extension ?? ""].filter(Boolean).join(" · ")}</span></td>
        <td>${one.sound ? html`<span class="good">✓ <span class="unseen">${t("supervisor.hears")}</span></span>` : html`<span class="bad">✕ ${t("supervisor.deaf")}</span>`}</td>
        <td>${one.load ?? 0}</td>
        <td>${one.oldest ? html`<${Since} at=${one.oldest} />` : "–"}</td>
        <td>${one.locked ? t("supervisor.locked") : one.view ? html`<button class="row small" onClick=${() => open(one.view)}>${one.view}</button> <span class="quiet">${(one.mode ? t(`supervisor.mode_${one.mode}`) : "")}</span>` : html`<span class="quiet">${t("supervisor.ready")}</span>`}</td>
      </tr>`)}</tbody></table>`}
  </section>`;
}

function Queues({ rows }) {
  return html`<section><h3>${t("supervisor.queues")}</h3>
    ${rows.length === 0 ? html`<p class="nothing-here">${t("supervisor.no_queues")}</p>` : html`<table class="areas" aria-label=${t("supervisor.queues")}>
      <thead><tr><th scope="col">${t("supervisor.area")}</th>${LEVELS.map((level) => html`<th scope="col" key=${level}><${Mark} severity=${level} withText=${true} /></th>`)}<th scope="col">${t("supervisor.open")}</th><th scope="col">${t("supervisor.longest")}</th></tr></thead>
      <tbody>${rows.map((one) => html`<tr key=${one.area}>
        <th scope="row">${one.name || t("supervisor.no_area")}</th>
        ${LEVELS.map((level) => {
          const { open: all = 0, raised = 0 } = one.levels[level] ?? {};
          return html`<td key=${level} class=${raised ? "raised" : ""}>${all === 0 ? html`<span class="quiet">0</span>` : html`${all}${raised > 0 && html` <b>${t("supervisor.of_waiting", { n: raised })}</b>`}`}</td>`;
        })}
        <td>${one.open}</td><td>${one.oldest ? html`<${Since} at=${one.oldest} />` : "–"}</td></tr>`)}</tbody></table>`}
  </section>`;
}

// --- flood, broadcast, shifts, complaints ---

const needsReason = (values) => (values.reason?.trim() ? null : "missing_why");

function FloodForm({ to }) {
  return html`<${AskForm} key=${to} name="flood" title=${t(`supervisor.flood_${to}`)} fields=${ReasonField} check=${needsReason} close=${close}
    note=${t("supervisor.flood_note")} submit=${(values) => done(t("supervisor.flood"), "flood", { switch: to, reason: values.reason.trim() }, () => () => `${t(`supervisor.flood_${to}`)} ✓`)} />`;
}

function Flood({ flood }) {
  return html`<section class=${`flood ${flood?.on ? "on" : ""}`}><h3>${t("supervisor.flood")} <b>${t(flood?.on ? "supervisor.is_on" : "supervisor.is_off")}</b></h3>
    ${flood && html`<p>${t("supervisor.flood_figures", { n: flood.new_10min ?? 0, operators: flood.operators ?? 0 })}${flood.on && flood.since ? html` · ${t("supervisor.since")} <${Time} at=${flood.since} />` : ""}
      ${flood.by && flood.by !== "gateway" ? html` · <span class="quiet">${flood.by}</span>` : ""}</p>`}
    <div class="filters" role="group" aria-label=${t("supervisor.flood")}>${SWITCHES.map((to) => html`
      <button key=${to} aria-pressed=${(flood?.switch ?? "auto") === to ? "true" : "false"} onClick=${() => { asking.value = { form: "flood", to }; }}>${t(`supervisor.switch_${to}`)}</button>`)}</div>
    ${asking.value?.form === "flood" && html`<${FloodForm} to=${asking.value.to} />`}
  </section>`;
}

const SayFields = (props) => html`<${Text} name="announcement" required=${true} rows=${3} limit=${500} ...${props} />
  <${Choice} name="audience" options=${["operators", "stations", "all"]} text=${(to) => t(`notice_to.${to}`)} ...${props} values=${{ audience: "operators", ...props.values }} />
  <${When} name="until" ...${props} />`;

function Say() {
  const submit = (values) => done(t("supervisor.broadcast"), "notices", { text: values.announcement.trim(), to: values.audience ?? "operators", ...(values.until ? { until: asInstant(values.until) } : {}) }, () => () => `${t("supervisor.broadcast")} ✓`);
  return html`<${AskForm} name="say" title=${t("supervisor.broadcast")} fields=${SayFields} note=${t("supervisor.broadcast_note")} check=${(values) => (values.announcement?.trim() ? null : "missing_text")} submit=${submit} close=${close} />`;
}

function Broadcast() {
  return html`<section><h3>${t("supervisor.broadcast")}</h3>
    ${asking.value?.form === "say" ? html`<${Say} />` : html`<button onClick=${() => { asking.value = { form: "say" }; }}>${t("supervisor.say")}</button>`}</section>`;
}

function Shifts({ rows }) {
  return html`<section><h3>${t("supervisor.shifts")} <span class="quiet">${rows.length || ""}</span></h3>
    ${rows.length === 0 ? html`<p class="quiet">${t("supervisor.no_shifts")}</p>` : html`<ul class="plain">${rows.map((one) => html`<li key=${one.id}><b>${one.by}</b> → <b>${one.to || t("shift.whoever")}</b> <${Ago} at=${one.at} />
      <button class="small" onClick=${() => { view.value = "shift"; }}>${t("supervisor.look")}<span class="unseen"> ${one.by}</span></button></li>`)}</ul>`}
  </section>`;
}

function Complaints({ rows }) {
  return html`<section><h3>${t("supervisor.complaints")} <span class="quiet">${rows.length || ""}</span></h3>
    ${rows.length === 0 ? html`<p class="quiet">${t("supervisor.no_complaints")}</p>` : html`<ul class="plain">${rows.map((one) => html`<li key=${one.id}>
      <b>${one.incident ? html`<button class="row small" onClick=${() => open(one.incident)}>${one.incident}</button>` : one.id}</b> ${one.area_name ?? ""} <span>${one.note}</span> <span class="quiet">${one.by ?? ""} <${Time} at=${one.at} /></span>
      ${!one.incident && html` <button class="small" onClick=${() => { asking.value = { form: "handle", id: one.id }; }}>${t("supervisor.handle")}<span class="unseen"> ${one.id}</span></button>`}
      ${asking.value?.form === "handle" && asking.value.id === one.id && html`<${AskForm} name="handle" title=${`${t("supervisor.handle")} ${one.id}`} fields=${NoteField} check=${(values) => (values.handled?.trim() ? null : "missing_text")} close=${close}
        submit=${(values) => done(one.id, `complaints/${encodeURIComponent(one.id)}/handle`, { note: values.handled.trim() }, () => () => `${one.id} ${t("supervisor.handled")} ✓`)} />`}
    </li>`)}</ul>`}
  </section>`;
}

const NoteField = (props) => html`<${Text} name="handled" required=${true} rows=${2} limit=${1000} ...${props} />`;

// --- put aside, and what is ruled ---

function Shelved({ rows }) {
  const back = (row) => done(row.id, `incidents/${encodeURIComponent(row.id)}/unshelve`, {}, () => () => `${row.id} ${t("action.unshelve")} ✓`);
  return html`<section><h3>${t("supervisor.shelved")} <span class="quiet">${rows.length || ""}</span></h3>
    ${rows.length === 0 ? html`<p class="nothing-here">${t("supervisor.none_shelved")}</p>` : html`<table aria-label=${t("supervisor.shelved")}>
      <thead><tr>${["incident", "what", "until", "by", "reason", "actions"].map((name) => html`<th scope="col" key=${name}>${t(`supervisor.${name}`)}</th>`)}</tr></thead>
      <tbody>${rows.map((row) => html`<tr key=${row.id}><td><${Mark} severity=${row.severity} /> <button class="row" onClick=${() => open(row.id)}>${row.id}</button></td>
        <td>${label("kind", row.kind)} · ${row.place ?? "–"}</td><td><${Time} at=${row.until} /></td><td>${row.by}</td><td>${row.reason}</td>
        <td class="do"><button class="small" onClick=${() => back(row)}>${t("action.unshelve")}<span class="unseen"> ${row.id}</span></button></td></tr>`)}</tbody></table>`}
  </section>`;
}

/** Devices whose messages are put aside: by a person, until a time. */
export function Maintenance({ rows, lifted }) {
  const lift = (row) => { asking.value = { form: "lift", line: row.line, ref: row.ref }; };
  const isOf = (row) => asking.value?.form === "lift" && asking.value.ref === row.ref && asking.value.line === row.line;
  const submit = (row) => async (values) => {
    const answer = await rule(row.device, "maintenance", { line: row.line, ref: row.ref, value: "", reason: values.reason.trim() });
    if (answer.ok) {
      notice(() => `${row.device} ${t("maintenance.lifted")} ✓`);
      lifted();
    }
    return answer.ok;
  };
  return html`<section><h3>${t("supervisor.in_maintenance")} <span class="quiet">${rows.length || ""}</span></h3>
    ${rows.length === 0 ? html`<p class="nothing-here">${t("maintenance.none")}</p>` : html`<table aria-label=${t("supervisor.in_maintenance")}>
      <thead><tr><th scope="col">${t("devices.address")}</th><th scope="col">${t("maintenance.value")}</th>${["until", "by", "reason", "actions"].map((name) => html`<th scope="col" key=${name}>${t(`supervisor.${name}`)}</th>`)}</tr></thead>
      <tbody>${rows.map((row) => html`<tr key=${`${row.line} ${row.ref}`}><td><b>${row.device}</b> <span class="quiet">${row.line} ${row.place ?? ""}</span></td><td>${t(`maintenance.${row.value}`)}</td>
        <td><${Time} at=${row.until} /></td><td>${row.by}</td><td>${row.reason}${isOf(row) && html`<${AskForm} name="lift" title=${`${t("maintenance.lift")} · ${row.device}`} fields=${ReasonField} check=${needsReason} close=${close} submit=${submit(row)} />`}</td>
        <td class="do"><button class="small" onClick=${() => lift(row)}>${t("maintenance.lift")}<span class="unseen"> ${row.device}</span></button></td></tr>`)}</tbody></table>`}
  </section>`;
}

function Rulings({ rulings }) {
  return html`<section><h3>${t("supervisor.rulings")}</h3>
    <div class="three">${RULINGS.map((matter) => html`<div key=${matter}><h4>${t(`supervisor.${matter}`)} <span class="quiet">${rulings?.[matter]?.length || ""}</span></h4>
      ${rulings?.[matter]?.length ? html`<ul class="plain">${rulings[matter].map((one) => html`<li key=${one.subject}><b>${one.name}</b> ${one.actor === "gateway" ? label("ruling_reason", one.reason) : one.reason}
        <span class="quiet">${one.actor === "gateway" ? t("ruling.machine") : one.actor} <${Time} at=${one.at} />${one.until ? html` · ${t("ruling.until")} <${Time} at=${one.until} />` : ""}</span></li>`)}</ul>` : html`<p class="quiet">${t("supervisor.none_ruled")}</p>`}</div>`)}</div>
    <p><button onClick=${() => { view.value = "providers"; }}>${t("supervisor.to_providers")} <kbd>G P</kbd></button> <button onClick=${() => { view.value = "aid"; }}>${t("supervisor.to_aid")} <kbd>G A</kbd></button></p>
  </section>`;
}

function Reveals({ rows }) {
  return html`<section><h3>${t("supervisor.reveals")} <span class="quiet">${rows.length || ""}</span></h3>
    ${rows.length === 0 ? html`<p class="nothing-here">${t("supervisor.no_reveals")}</p>` : html`<table aria-label=${t("supervisor.reveals")}>
      <thead><tr>${["at", "by", "incident", "shown", "reason"].map((name) => html`<th scope="col" key=${name}>${t(`supervisor.${name}`)}</th>`)}</tr></thead>
      <tbody>${rows.map((row, i) => html`<tr key=${i}><td><${Time} at=${row.at} /></td><td><b>${row.by}</b></td><td><button class="row" onClick=${() => open(row.incident)}>${row.incident}</button></td>
        <td>${label("reveal_field", row.field)}</td><td>${label("reveal_reason", row.reason)} ${row.emergency && html`<span class="flag">${t("supervisor.emergency")}</span>`}</td></tr>`)}</tbody></table>`}
  </section>`;
}

const COUNT_OF = {
  now: (data) => data.stalled.length,
  aside: (data) => data.shelved.length + data.maintenance.length,
  log: (data) => data.reveals.length,
};

function Now({ data }) {
  return html`<div class="desk-now">
    <div>${asking.value?.form === "reassign" && html`<${Reassign} />`}
      <${Stalled} rows=${data.stalled} /><${Queues} rows=${data.queues} /><${Operators} rows=${data.operators} /></div>
    <div><${Flood} flood=${data.flood} /><${Broadcast} /><${Shifts} rows=${data.shifts} /><${Complaints} rows=${data.complaints} /></div>
  </div>`;
}

export function Supervisor() {
  useEffect(() => {
    load();
    const timer = setInterval(load, READ_MS);
    return () => clearInterval(timer);
  }, []);
  counts.value; // rows of the feed are fresher than what was read
  const state = desk.state.value;
  const { data } = state;
  return html`<${Ops} name="supervisor" state=${state} again=${load}>
    <div class="filters desk-tabs" role="group" aria-label=${t("view.supervisor")}>${TABS.map((name) => html`
      <button key=${name} aria-pressed=${tab.value === name ? "true" : "false"} onClick=${() => { tab.value = name; close(); }}>${t(`supervisor.tab_${name}`)} ${data && COUNT_OF[name] && html`<span>${COUNT_OF[name](data)}</span>`}</button>`)}</div>
    ${tab.value === "figures" ? html`<${Figures} />` : data && (tab.value === "now" ? html`<${Now} data=${data} />`
      : tab.value === "aside" ? html`<${Shelved} rows=${data.shelved} /><${Maintenance} rows=${data.maintenance} lifted=${load} /><${Rulings} rulings=${data.rulings} />`
        : html`<${Reveals} rows=${data.reveals} />`)}
  <//>`;
}
