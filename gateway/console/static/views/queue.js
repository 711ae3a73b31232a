// The queue: tabs, search and the virtual grid of incidents, most urgent first; marks, groups of a flood, what is put aside.
import { computed, signal } from "@preact/signals";
import { createRef } from "preact";
import { arrange } from "../arrange.js";
import { clockTime } from "../clock.js";
import { notices, pending, retry, shown } from "../commands.js";
import { link } from "../feed.js";
import { Grid } from "../grid.js";
import { label, language, t } from "../i18n.js";
import { later } from "../later.js";
import { clearMarks, marked, startBulk, toggleMark } from "../marks.js";
import { TABS, counts, flood, isTold, me, rows, sameOrder, search, select, tab } from "../store.js";
import { Countdown, Mark, html, risks, where, who } from "../ui.js";
import { cursor, focusIncident, focusQueue, open, opened } from "../work.js";
import { MaintenanceForm, maintained } from "./maintenance.js";
import { Presence } from "./presence.js";

const searchPast = later(() => import("./history.js"), "searchPast");
const ROW_PX = 36;
const HEAD_PX = 28;

export const grid = createRef();
const above = signal(0); // rows that wait and have gone out of sight
const unfolded = signal(new Set()); // groups that somebody has opened
const folded = signal(new Set()); // and closed, of those that stand open by themselves

const textOf = (row) => [row.id, row.name, row.place, row.line, row.device, row.caller, row.hotline, row.owner, row.leg_responder, row.shelf?.reason, label("kind", row.kind), stateText(row)].filter(Boolean).join(" ");

/** The rows of the tab that fit the search. */
const found = computed(() => {
  language.value;
  return select(rows.value, tab.value, search.value, me.value, textOf);
});

/** The items of the list, rows and headings of groups, as the queue shows them: also what the keys move through. */
export const visible = computed(() => {
  const keep = new Set([...marked.value, opened.value, cursor.value, ...Object.keys(pending.value)]);
  return arrange(found.value, { flood: Boolean(flood.value?.on) && !search.value, keep, opened: unfolded.value, folded: folded.value, me: me.value });
});

/** The state in words: shelved, merged, ended before anybody took it; the most advanced leg says more than "taken". */
export function stateText(row) {
  if (row.state === "closed") return label("state", row.merged_into ? "merged" : "closed");
  if (row.shelf) return label("flag", "shelved");
  if (row.state === "raised" && row.flags?.includes("ended")) return label("flag", "ended");
  if (row.state === "acknowledged" && row.leg && row.leg !== "withdrawn") return label("leg", row.leg);
  return label("state", row.state);
}

function StateCell({ row }) {
  const wish = pending.value[row.id];
  if (wish?.phase === "unconfirmed") {
    return html`<button class="small retry" tabindex="-1" onClick=${(event) => { event.stopPropagation(); retry(row.id); }}>${t("command.unconfirmed")}</button>`;
  }
  if (wish?.phase === "slow") return html`<span class="unconfirmed">${t("command.slow")}</span>`;
  if (row.shelf) return html`<span class="state shelved" title=${row.shelf.reason}>${stateText(row)} · ${row.shelf.reason}</span>`;
  const complaint = row.flags?.includes("complaint") && row.state !== "closed";
  const isAgain = row.state === "raised" && row.flags?.includes("second_cry");
  return html`${wish ? html`<span class="spinner" role="img" aria-label=${t("command.sent")}></span>` : ""}
    <span class=${`state ${row.state}`} title=${[complaint && label("flag", "complaint"), isAgain && t("row.again"), stateText(row), row.state === "raised" && label("leg", row.leg)].filter(Boolean).join(" · ")}>${complaint ? `${label("flag", "complaint")} · ` : ""}${isAgain ? `${t("row.again")} · ` : ""}${stateText(row)}</span>${row.state === "raised" && row.leg ? html`<span class="quiet">${label("leg", row.leg)}</span>` : ""}`;
}

function KindCell({ row }) {
  const repeats = row.attempts > 1 ? `☎×${row.attempts}` : row.cries > 1 ? `×${row.cries}` : "";
  return html`${label("kind", row.kind)}${repeats && html` <b class="cries">${repeats}</b>`}${row.affected ? html` <b class="cries" title=${`${label("kind", row.kind)} · ${t("row.affected", { n: row.affected })}`}>${t("row.affected", { n: row.affected })}</b>` : ""}${
    row.runaway ? html` <b class="cries runaway" title=${t("runaway.title", { n: row.runaway })}>${t("runaway.count", { n: row.runaway })}</b>` : ""}`;
}

function PlaceCell({ row }) {
  const isBeyond = row.flags?.includes("beyond_circle") && row.state !== "closed";
  return html`${isBeyond && html`<b class="beyond-mark" title=${label("flag", "beyond_circle")}>⚠<span class="unseen">${label("flag", "beyond_circle")}</span></b> `}<span title=${[where(row), row.risks?.length && risks(row.risks)].filter(Boolean).join(" · ")}>${where(row) ?? "–"}</span>${row.risks?.length ? html` <span class="quiet">${risks(row.risks)}</span>` : ""}`;
}

function LevelCell({ row }) {
  const isMarked = marked.value.includes(row.id);
  return html`<span class=${`tick ${isMarked ? "on" : ""}`} title=${t("marks.tick")} onClick=${(event) => { event.stopPropagation(); toggleMark(row.id); }}>${isMarked ? html`<i aria-hidden="true">☑</i><span class="unseen">${t("marks.marked")}</span>` : ""}<${Mark} severity=${row.severity} /></span>`;
}

function OwnerCell({ row }) {
  return html`${row.shelf ? row.shelf.by : row.owner ?? html`<span class="quiet" title=${row.leg_responder ?? ""}>${row.leg_responder ?? ""}</span>`}<${Presence} id=${row.id} but=${row.owner} />`;
}

function columns() {
  return [
    { id: "level", title: t("column.level"), cell: (row) => html`<${LevelCell} row=${row} />` },
    { id: "due", title: t(tab.value === "shelved" ? "column.until" : "column.due"), cell: (row) => html`<${Countdown} at=${row.shelf ? Date.parse(row.shelf.until) : row.dueMs} />` },
    { id: "kind", title: t("column.kind"), cell: (row) => html`<${KindCell} row=${row} />` },
    { id: "name", title: t("column.name"), cell: (row) => html`${who(row, "row")}${row.age ? html` <span class="quiet">${row.age}</span>` : ""}` },
    { id: "place", title: t("column.place"), cell: (row) => html`<${PlaceCell} row=${row} />` },
    { id: "state", title: t("column.state"), cell: (row) => html`<${StateCell} row=${row} />` },
    { id: "owner", title: t("column.owner"), cell: (row) => html`<${OwnerCell} row=${row} />` },
  ];
}

/** What the heading of a group says, over the whole width. */
function groupText({ group, rows: list, kind, town }) {
  if (group === "closed") return t("group.closed", { n: list.length });
  const raised = list.filter((row) => row.state === "raised").length;
  if (group === "flood") return t("group.flood", { town: town || t("group.nowhere"), kind: label("kind", kind), n: list.length, raised });
  return t("group.runaway", { who: who(list[0], "row"), kind: label("kind", kind), n: list.length, count: Math.max(...list.map((row) => row.runaway)) });
}

function GroupRow({ item }) {
  return html`<i aria-hidden="true">${item.isOpen ? "▾" : "▸"}</i> ${item.group !== "closed" && html`<${Mark} severity=${item.severity} />`} <span>${groupText(item)}</span>${
    item.rows.some((row) => row.offer_maintenance) ? html` <button class="small" tabindex="-1" onClick=${(event) => { event.stopPropagation(); maintained.value = item.rows[0].id; }}>${t("maintenance.offer")}</button>` : ""}`;
}

/** Fold or unfold a group. */
export function toggleGroup(id) {
  const kept = id === "group:closed" ? folded : unfolded;
  const next = new Set(kept.value);
  if (!next.delete(id)) next.add(id);
  kept.value = next;
}

const isGroup = (id) => visible.value.some((item) => item.id === id && item.group);

function rowClass(row) {
  if (row.group) return `group ${row.group} ${row.severity}`;
  const parts = [row.severity, row.shelf ? "shelved" : row.state];
  if (pending.value[row.id]?.phase === "sent") parts.push("sending");
  if (row.id === opened.value) parts.push("opened");
  if (row.within) parts.push("within");
  if (marked.value.includes(row.id)) parts.push("marked");
  if (row.state === "raised" && !row.shelf && row.flags?.includes("second_cry")) parts.push("again");
  return parts.join(" ");
}

/** Nothing open fits: Enter looks for it in everything that was. */
function toThePast(event) {
  if (event.code !== "Enter" || event.ctrlKey || event.isComposing || found.value.length > 0 || search.value.trim().length < 2) return;
  event.preventDefault();
  searchPast(search.value.trim());
  search.value = "";
}

function Tabs() {
  const numbers = counts.value.tabs;
  return html`
    <div class="tabs" role="group" aria-label=${t("queue.tabs")}>
      ${TABS.map((name) => html`
        <button key=${name} aria-pressed=${tab.value === name ? "true" : "false"} title=${t(`tab_says.${name}`, { n: numbers[name] })} onClick=${() => { tab.value = name; focusQueue(); }}>
          ${label("tab", name)} <span>${numbers[name]}</span>
        </button>`)}
      <input id="search" type="search" autocomplete="off" placeholder=${t("queue.search")} aria-label=${t("queue.search")} value=${search.value}
        onInput=${(event) => { search.value = event.target.value; }} onKeyDown=${toThePast} />
      ${above.value > 0 && html`<button class="above" onClick=${() => grid.current.toTop()}>${t("queue.above", { n: above.value })}</button>`}
    </div>`;
}

/** One line that is always there, so that nothing moves when a flood begins: flood, what is put aside, what is marked. */
function Below() {
  const now = flood.value;
  const count = marked.value.length;
  const offered = rows.value.find((row) => row.offer_maintenance && row.state !== "closed");
  return html`<div class=${`below ${now?.on ? "flooded" : ""}`} role="group" aria-label=${t("queue.below")}>
    <span class="flood" role="status" title=${now?.on ? t("flood.numbers", { n: now.new_10min, operators: now.operators }) : undefined}>${now?.on ? html`<b>${t("flood.on")}</b> ${t("flood.numbers", { n: now.new_10min, operators: now.operators })}${now.since ? html` <span>${t("flood.since", { at: clockTime(now.since) })}</span>` : ""}` : html`<span class="quiet">${t("flood.off")}</span>`}</span>
    ${offered && html`<button class="small offer" title=${t("maintenance.title", { name: `${who(offered, "row")} ${label("kind", offered.kind)}` })} onClick=${() => { maintained.value = offered.id; }}>${t("maintenance.offer")} ${offered.id}</button>`}
    ${counts.value.tabs.shelved > 0 && html`<button class="small" onClick=${() => { tab.value = "shelved"; focusQueue(); }}>${label("tab", "shelved")} ${counts.value.tabs.shelved}</button>`}
    <span class="spring"></span>
    ${count > 0 && html`<span class="marks"><b>${t("marks.count", { n: count })}</b>
      <button class="small" onClick=${() => startBulk("acknowledge")}><kbd>Shift+A</kbd>${label("action", "acknowledge")}</button>
      <button class="small" onClick=${() => startBulk("assign")}><kbd>Shift+T</kbd>${label("action", "assign")}</button>
      <button class="small" disabled=${count < 2} onClick=${() => startBulk("merge")}><kbd>M</kbd>${label("action", "merge")}</button>
      <button class="small" onClick=${clearMarks} title=${t("key.clear_marks")} aria-label=${t("key.clear_marks")}>✕</button></span>`}
  </div>`;
}

/** The last thing that the page has to say, and a line below it. */
export function Notices({ hint }) {
  const last = notices.value[0];
  return html`<footer class="notices">
    <p role="status">${last && html`<span class=${last.kind}><time>${last.at}</time> ${last.text()}</span>`}</p>
    ${hint && html`<p class="quiet">${hint}</p>`}
  </footer>`;
}

/** A click or Enter on an item of the list. */
function press(id) {
  if (isGroup(id)) toggleGroup(id);
  else open(id);
}

export function Queue() {
  const list = visible.value.map((item) => (item.group ? item : shown(item)));
  const isStale = link.value.state === "lost";
  return html`
    <section class=${`queue ${isStale ? "stale" : ""}`} aria-busy=${isTold.value ? "false" : "true"} aria-label=${t("queue.title")}>
      <h2 class="unseen">${t("queue.title")}</h2>
      <${Tabs} />
      <${Grid} ref=${grid} rows=${list} columns=${columns()} cursor=${cursor.value} height=${ROW_PX} head=${HEAD_PX} label=${t("queue.title")}
        note=${isStale && html`<p class="as-of">${t("link.as_of", { at: clockTime(link.value.at) })}</p>`} listName=${`${tab.value} ${search.value}`} rowClass=${rowClass} sameOrder=${sameOrder}
        onCursor=${(id) => { cursor.value = id; }} onOpen=${press} wide=${(item) => (item.group ? html`<${GroupRow} item=${item} />` : null)}
        counts=${(row) => row.state === "raised"} onUnseen=${(n) => { above.value = n; }} gap=${t("queue.gap")} />
      ${list.length === 0 && html`<p class="empty">${!isTold.value ? t("app.loading") : search.value ? `${t("queue.nothing_found")} ${t("queue.search_past")}` : tab.value === "shelved" ? t("queue.nothing_shelved") : t("queue.empty")}</p>`}
      ${maintained.value && html`<${MaintenanceForm} id=${maintained.value} />`}
      <${Below} />
      <${Notices} hint=${t("queue.hint")} />
    </section>`;
}

/** Move the cursor: up, down, first, last, page_up, page_down. */
export function moveCursor(how) {
  const list = visible.value;
  if (list.length === 0) return;
  const at = list.findIndex((row) => row.id === cursor.value);
  const page = grid.current?.pageSize ?? 10;
  const to = { up: at < 0 ? 0 : at - 1, down: at + 1, first: 0, last: list.length - 1, page_up: at - page, page_down: at + page }[how];
  cursor.value = list[Math.min(list.length - 1, Math.max(0, to))].id;
  if (how === "first") grid.current?.toTop();
  focusQueue();
}

/** The most urgent incident that nobody has taken and nobody has put aside. */
export const nextWaiting = () => rows.value.find((row) => row.state === "raised" && !row.shelf) ?? null;

/** Is it in the list as it is shown: in this tab, found by this search, in no folded group? */
export const isInSight = (id) => visible.value.some((item) => item.id === id);

export function openCursor() {
  if (cursor.value === null || !isInSight(cursor.value)) return;
  if (isGroup(cursor.value)) {
    toggleGroup(cursor.value);
    return;
  }
  open(cursor.value);
  focusIncident();
}
