// The queue: tabs, search and the virtual grid of incidents, most urgent first.
import { computed, signal } from "@preact/signals";
import { createRef } from "preact";
import { clockTime } from "../clock.js";
import { notices, pending, shown } from "../commands.js";
import { link } from "../feed.js";
import { Grid } from "../grid.js";
import { label, language, t } from "../i18n.js";
import { TABS, counts, me, rows, sameOrder, search, select, tab } from "../store.js";
import { Countdown, Mark, html, risks, where, who } from "../ui.js";
import { cursor, focusIncident, focusQueue, open, opened } from "../work.js";

const ROW_PX = 36;
const HEAD_PX = 28;

export const grid = createRef();
const above = signal(0); // rows that wait and have gone out of sight

const textOf = (row) => [row.id, row.name, row.place, row.line, row.device, row.caller, row.hotline, row.owner, row.leg_responder, label("kind", row.kind), label("state", row.state)].filter(Boolean).join(" ");

/** The rows as the queue shows them: also what the keys move through. */
export const visible = computed(() => {
  language.value;
  return select(rows.value, tab.value, search.value, me.value, textOf);
});

/** The state in words: the most advanced leg says more than "taken". */
export function stateText(row) {
  if (row.state === "raised" && row.flags?.includes("ended")) return label("flag", "ended");
  if (row.state === "acknowledged" && row.leg && row.leg !== "withdrawn") return label("leg", row.leg);
  return label("state", row.state);
}

function StateCell({ row }) {
  const wish = pending.value[row.id];
  if (wish?.phase === "unconfirmed" || wish?.phase === "slow") {
    return html`<span class="unconfirmed">${wish.phase === "slow" ? t("command.slow") : t("command.unconfirmed")}</span>`;
  }
  const complaint = row.flags?.includes("complaint") && row.state !== "closed";
  return html`${wish ? html`<span class="spinner" aria-label=${t("command.sent")}></span>` : ""}
    <span class=${`state ${row.state}`}>${complaint ? `${label("flag", "complaint")} · ` : ""}${stateText(row)}</span>${row.state === "raised" && row.leg ? html`<span class="quiet">${label("leg", row.leg)}</span>` : ""}`;
}

function columns() {
  return [
    { id: "level", title: t("column.level"), cell: (row) => html`<${Mark} severity=${row.severity} />` },
    { id: "due", title: t("column.due"), cell: (row) => html`<${Countdown} at=${row.dueMs} />` },
    { id: "kind", title: t("column.kind"), cell: (row) => html`${label("kind", row.kind)}${row.attempts > 1 ? html` <b class="cries">☎×${row.attempts}</b>` : row.cries > 1 ? html` <b class="cries">×${row.cries}</b>` : ""}` },
    { id: "name", title: t("column.name"), cell: (row) => html`${who(row, "row")}${row.age ? html` <span class="quiet">${row.age}</span>` : ""}` },
    { id: "place", title: t("column.place"), cell: (row) => html`<span title=${where(row) ?? ""}>${where(row) ?? "–"}</span>${row.risks?.length ? html` <span class="quiet">${risks(row.risks)}</span>` : ""}` },
    { id: "state", title: t("column.state"), cell: (row) => html`<${StateCell} row=${row} />` },
    { id: "owner", title: t("column.owner"), cell: (row) => row.owner ?? html`<span class="quiet">${row.leg_responder ?? ""}</span>` },
  ];
}

function rowClass(row) {
  const parts = [row.severity, row.state];
  if (pending.value[row.id]?.phase === "sent") parts.push("sending");
  if (row.id === opened.value) parts.push("opened");
  return parts.join(" ");
}

function Tabs() {
  const numbers = counts.value.tabs;
  return html`
    <div class="tabs" role="group" aria-label=${t("queue.tabs")}>
      ${TABS.map((name) => html`
        <button key=${name} aria-pressed=${tab.value === name ? "true" : "false"} onClick=${() => { tab.value = name; focusQueue(); }}>
          ${label("tab", name)} <span>${numbers[name]}</span>
        </button>`)}
      <input id="search" type="search" autocomplete="off" placeholder=${t("queue.search")} aria-label=${t("queue.search")} value=${search.value}
        onInput=${(event) => { search.value = event.target.value; }} />
      ${above.value > 0 && html`<button class="above" onClick=${() => grid.current.toTop()}>${t("queue.above", { n: above.value })}</button>`}
    </div>`;
}

function Notices() {
  const last = notices.value[0];
  return html`<footer class="notices">
    <p role="status">${last && html`<span class=${last.kind}><time>${last.at}</time> ${last.text()}</span>`}</p>
    <p class="quiet">${t("queue.hint")}</p>
  </footer>`;
}

export function Queue() {
  const list = visible.value.map(shown);
  const isStale = link.value.state === "lost";
  return html`
    <section class=${`queue ${isStale ? "stale" : ""}`} aria-label=${t("queue.title")}>
      <${Tabs} />
      <${Grid} ref=${grid} rows=${list} columns=${columns()} cursor=${cursor.value} height=${ROW_PX} head=${HEAD_PX} label=${t("queue.title")}
        note=${isStale && html`<p class="as-of">${t("link.as_of", { at: clockTime(link.value.at) })}</p>`} listName=${`${tab.value} ${search.value}`} rowClass=${rowClass} sameOrder=${sameOrder}
        onCursor=${(id) => { cursor.value = id; }} onOpen=${open}
        counts=${(row) => row.state === "raised"} onUnseen=${(n) => { above.value = n; }} />
      ${list.length === 0 && html`<p class="empty">${search.value ? t("queue.nothing_found") : t("queue.empty")}</p>`}
      <${Notices} />
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

/** The most urgent incident that nobody has taken. */
export const nextWaiting = () => rows.value.find((row) => row.state === "raised") ?? null;

export function openCursor() {
  if (cursor.value === null) return;
  open(cursor.value);
  focusIncident();
}
