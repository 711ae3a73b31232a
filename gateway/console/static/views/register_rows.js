// Lists of the register that have an order: contacts as they are rung, shifts of a responder; and the shifts as a week.
import { t } from "../i18n.js";
import { html } from "../ui.js";

const COLUMNS = { contacts: ["name", "relation", "phone"], rosters: ["days", "hours", "since", "until", "staff", "people"] };
const WEEK = [1, 2, 3, 4, 5, 6, 7];

/** The rows, each with its place in the order; columns that are not shown stay as they are. */
export function RowsEditor({ kind, rows, setRows, nameOf }) {
  const set = (index, name, value) => setRows(rows.map((row, at) => (at === index ? { ...row, [name]: value } : row)));
  const move = (index, by) => {
    const next = [...rows];
    [next[index], next[index + by]] = [next[index + by], next[index]];
    setRows(next);
  };
  return html`<ol class="rows-editor">${rows.map((row, index) => html`<li key=${index}>
      <span class="cells-row">${COLUMNS[kind].map((name) => html`<label key=${name}><span class="small quiet">${nameOf(name)}</span><input maxlength="200" value=${row[name] ?? ""} onInput=${(event) => set(index, name, event.target.value)} /></label>`)}</span>
      <span class="row-buttons">
        <button type="button" class="small" disabled=${index === 0} onClick=${() => move(index, -1)} aria-label=${t("register.up", { n: index + 1 })}>↑</button>
        <button type="button" class="small" disabled=${index === rows.length - 1} onClick=${() => move(index, 1)} aria-label=${t("register.down", { n: index + 1 })}>↓</button>
        <button type="button" class="small" onClick=${() => setRows(rows.filter((_, at) => at !== index))} aria-label=${t("register.drop", { n: index + 1 })}>✕</button></span></li>`)}</ol>
    <button type="button" class="small" onClick=${() => setRows([...rows, {}])}>${t("register.add_row")}</button>`;
}

/** Which weekdays (1 to 7) a cell of days means; null: other days (holiday, workday). */
function daysOf(text) {
  if (!text) return new Set(WEEK);
  const found = new Set();
  for (const word of text.split(";").map((part) => part.trim())) {
    if (!/^[1-7](-[1-7])?$/.test(word)) return null;
    const [first, last = first] = word.split("-").map(Number);
    for (let day = first; day <= last; day += 1) found.add(day);
  }
  return found;
}

const shiftText = (row) => `${row.hours || t("register.all_day")}${row.staff === "0" ? ` ${t("register.closed")}` : row.staff ? ` ×${row.staff}` : ""}${row.people ? ` ${row.people.replaceAll(";", " ")}` : ""}`;

/** The undated shifts by weekday, dated ones and those of holidays below. */
export function WeekOf({ rows }) {
  if (rows.length === 0) return html`<p class="quiet">${t("register.no_shifts")}</p>`;
  const dated = rows.filter((row) => row.since || row.until || daysOf(row.days) === null);
  const weekly = rows.filter((row) => !dated.includes(row));
  return html`<table class="week" aria-label=${t("register_kind.rosters")}><thead><tr>${WEEK.map((day) => html`<th scope="col" key=${day}>${t(`register.day_${day}`)}</th>`)}</tr></thead>
    <tbody><tr>${WEEK.map((day) => html`<td key=${day}>${weekly.filter((row) => daysOf(row.days).has(day)).map((row, index) => html`<div key=${index} class=${row.staff === "0" ? "quiet" : ""}>${shiftText(row)}</div>`)}</td>`)}</tr></tbody></table>
    ${dated.length > 0 && html`<ul class="plain small">${dated.map((row, index) => html`<li key=${index}>${[row.days, row.since || row.until ? `${row.since ?? "…"} – ${row.until ?? "…"}` : ""].filter(Boolean).join(" · ")}: ${shiftText(row)}</li>`)}</ul>`}`;
}
