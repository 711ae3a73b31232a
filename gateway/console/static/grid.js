// A virtual grid: only the rows in sight are in the page. The row under the cursor keeps its place on the screen.
import { Component, createRef } from "preact";
import { html } from "./ui.js";

const MARGIN = 5; // rows kept above and below what is in sight, so that scrolling shows no gap
const ACTED_MS = 5000; // whoever pressed or pointed this lately may be about to press again: what he looks at stays where it is
const POINTER_MS = 3000; // a row pointed at this lately counts as "about to be pressed"

/**
 * Where the list must stand so that a row that moved from index `before` to `after` keeps its place on the screen.
 * {lead, scroll} in pixels; lead is empty space above the first row, used when there is nothing to scroll, and never more than `most`.
 */
export function keepPlace({ lead, scroll, before, after, height, most }) {
  const place = lead + before * height - scroll;
  const nextLead = Math.min(most, Math.max(0, place - after * height));
  return { lead: nextLead, scroll: Math.max(0, nextLead + after * height - place) };
}

/** Rows [first, last) to be drawn. */
export function rowsInSight({ lead, scroll, view, height, count }) {
  const first = Math.max(0, Math.floor((scroll - lead) / height) - MARGIN);
  const last = Math.min(count, Math.ceil((scroll - lead + view) / height) + MARGIN);
  return [Math.min(first, Math.max(0, last)), Math.max(0, last)];
}

/**
 * rows: [{id,…}] in order; wide(row): what stands over all columns, null for a row of cells; columns: [{id, title, cell(row)}]; cursor: id or null; height: of a row in px, head: of the heading.
 * sameOrder(a, b): has a row kept what it is sorted by? onCursor(id), onOpen(id), rowClass(row), label. `note` is shown over the heading, `gap` in the space that holds the place of a row that has left; `onUnseen` is told how many rows of interest (`counts(row)`) lie above the sight.
 */
export class Grid extends Component {
  port = createRef();
  lead = 0;
  scroll = 0;
  view = 600;
  pointed = { id: null, at: -Infinity };
  before = null;
  acted = -Infinity;
  closing = null;
  unseen = 0;
  told = 0;

  componentDidMount() {
    this.before = this.props.rows;
    this.watcher = new ResizeObserver(() => {
      this.view = this.port.current.clientHeight - this.props.head;
      this.forceUpdate();
    });
    this.watcher.observe(this.port.current);
    document.addEventListener("keydown", this.onAct, true);
    this.showCursor();
    this.tell();
  }

  componentWillUnmount() {
    this.watcher.disconnect();
    document.removeEventListener("keydown", this.onAct, true);
    clearTimeout(this.closing);
  }

  componentDidUpdate(previous) {
    const port = this.port.current;
    if (Math.abs(port.scrollTop - this.scroll) >= 1) port.scrollTop = this.scroll;
    if (previous.cursor !== this.props.cursor) this.showCursor();
    if (this.lead > 0 && this.closing === null) this.closing = setTimeout(this.closeGap, this.stillMs);
    this.tell();
  }

  /** How many rows of interest lie above the sight, when it has changed. */
  tell() {
    if (this.unseen === this.told) return;
    this.told = this.unseen;
    this.props.onUnseen(this.unseen);
  }

  /** How much longer the user counts as acting, in ms. */
  get stillMs() {
    return Math.max(0, ACTED_MS - (performance.now() - this.acted));
  }

  onAct = () => {
    this.acted = performance.now();
  };

  /** Nobody has pressed or pointed for a while: no need to hold a place with empty space. */
  closeGap = () => {
    this.closing = null;
    if (this.lead === 0) return;
    if (this.stillMs === 0) this.lead = 0;
    this.forceUpdate();
  };

  /**
   * The row that must not move: the one just pointed at, else the cursor if in sight, else the first in sight unless at the top.
   * A row that itself got another place in the order (it was resolved, say) lets the others stay and goes there.
   */
  anchor(last, rows) {
    const { sameOrder, height, cursor } = this.props;
    const stays = (id) => {
      const before = last.find((row) => row.id === id);
      const after = before && rows.find((row) => row.id === id);
      return after !== undefined && sameOrder(before, after);
    };
    if (performance.now() - this.pointed.at < POINTER_MS && stays(this.pointed.id)) return this.pointed.id;
    const index = last.findIndex((row) => row.id === cursor);
    const place = this.lead + index * height - this.scroll;
    if (index >= 0 && place > -height && place < this.view && stays(cursor)) return cursor;
    if (this.scroll <= 0) return null;
    return last.slice(Math.max(0, Math.ceil((this.scroll - this.lead) / height))).find((row) => stays(row.id))?.id ?? null;
  }

  follow(rows) {
    const last = this.before;
    this.before = rows;
    if (last === null || last === rows) return;
    if (this.props.listName !== this.lastName) { // another tab or search: begin at its top
      this.lastName = this.props.listName;
      this.lead = 0;
      this.scroll = 0;
      return;
    }
    const name = this.anchor(last, rows);
    const before = name === null ? -1 : last.findIndex((row) => row.id === name);
    const after = name === null ? -1 : rows.findIndex((row) => row.id === name);
    if (before < 0 || after < 0) {
      this.lead = 0;
      this.scroll = Math.min(this.scroll, Math.max(0, rows.length * this.props.height - this.view));
      return;
    }
    Object.assign(this, keepPlace({ lead: this.lead, scroll: this.scroll, before, after, height: this.props.height, most: this.stillMs > 0 ? this.props.height : 0 }));
  }

  /** After a move of the cursor: into sight, and the space above the first row, if any, is given up. */
  showCursor() {
    const index = this.props.rows.findIndex((row) => row.id === this.props.cursor);
    if (index < 0) return;
    const { height } = this.props;
    let scroll = Math.max(0, this.scroll - this.lead);
    if (index * height < scroll) scroll = index * height;
    else if ((index + 1) * height > scroll + this.view) scroll = (index + 1) * height - this.view;
    if (scroll === this.scroll && this.lead === 0) return;
    this.lead = 0;
    this.scroll = scroll;
    this.forceUpdate();
  }

  toTop = () => {
    this.lead = 0;
    this.scroll = 0;
    this.forceUpdate();
  };

  onScroll = () => {
    const top = this.port.current.scrollTop;
    if (Math.abs(top - this.scroll) < 1) return;
    this.scroll = top;
    this.forceUpdate();
  };

  onWheel = () => {
    if (this.lead === 0) return;
    this.scroll = Math.max(0, this.scroll - this.lead);
    this.lead = 0;
    this.forceUpdate();
  };

  onPointerMove = (event) => {
    this.onAct();
    const row = event.target.closest("[data-id]");
    this.pointed = { id: row?.dataset.id ?? null, at: performance.now() };
  };

  render({ rows, columns, cursor, height, head, label, rowClass, onCursor, onOpen, counts, note, gap, wide = () => null }) {
    this.lastName ??= this.props.listName;
    this.follow(rows);
    const count = rows.length;
    const [first, last] = rowsInSight({ lead: this.lead, scroll: this.scroll, view: this.view, height, count });
    const drawn = [];
    for (let i = first; i < last; i += 1) drawn.push(i);
    const active = rows.findIndex((row) => row.id === cursor);
    if (active >= 0 && (active < first || active >= last)) drawn.push(active); // the active row is always in the page
    const full = Math.max(this.lead + count * height, this.scroll + this.view);
    this.unseen = 0;
    const top = Math.min(count, Math.round((this.scroll - this.lead) / height));
    for (let i = 0; i < top; i += 1) if (counts(rows[i])) this.unseen += 1;
    return html`
      <div class="grid-frame">
        ${note}
        <div class="grid" role="grid" tabindex="0" ref=${this.port} aria-label=${label} aria-rowcount=${count + 1}
          aria-activedescendant=${active >= 0 ? `row-${cursor}` : null} onScroll=${this.onScroll} onWheel=${this.onWheel}
          onPointerDown=${this.onAct} onPointerMove=${this.onPointerMove}>
          <div role="rowgroup" class="grid-head" style=${{ height: `${head}px` }}>
            <div role="row" aria-rowindex="1" class="grid-row">
              ${columns.map((column) => html`<div role="columnheader" class=${`cell ${column.id}`} key=${column.id}>${column.title}</div>`)}
            </div>
          </div>
          ${this.lead > 0 && html`<div class="gap" aria-hidden="true" style=${{ height: `${this.lead}px` }}>${gap}</div>`}
          <div role="rowgroup" class="grid-body" style=${{ height: `${full}px`, marginTop: `${-this.lead}px` }}>
            ${drawn.map((i) => {
              const row = rows[i];
              const whole = wide(row);
              return html`
                <div role="row" id=${`row-${row.id}`} key=${row.id} data-id=${row.id} aria-rowindex=${i + 2} aria-selected=${row.id === cursor ? "true" : "false"}
                  class=${`grid-row ${rowClass(row)}`} style=${{ transform: `translateY(${this.lead + i * height}px)`, height: `${height}px` }}
                  onClick=${() => { onCursor(row.id); onOpen(row.id); }}>
                  ${whole ? html`<div role="gridcell" class="cell whole" aria-colspan=${columns.length}>${whole}</div>`
                    : columns.map((column) => html`<div role="gridcell" class=${`cell ${column.id}`} key=${column.id}>${column.cell(row)}</div>`)}
                </div>`;
            })}
          </div>
        </div>
      </div>`;
  }

  /** Rows that fit into the sight: for PgUp and PgDn. */
  get pageSize() {
    return Math.max(1, Math.floor(this.view / this.props.height) - 1);
  }
}
