// What the operator is doing: the row under the cursor, the incident opened, the form open in it and its draft.
import { effect, signal } from "@preact/signals";
import { now } from "./clock.js";
import { exchange } from "./exchange.js";
import { incidentsChanged, receiveRow, requestCounts, role, rowOf, session, state } from "./store.js";

const DETAIL_PAUSE_MS = 150; // changes of one incident come in bursts; read its detail once a burst

export const cursor = signal(null);
export const opened = signal(null);
/** {id, data, failed}: the detail of the opened incident; `id` may lag behind `opened` while it loads. */
export const detail = signal(null);
/** {incident, name}: the form in the middle pane, or null. */
export const form = signal(null);
export const helpShown = signal(false);
export const menuShown = signal(false);
/** What fills the page below the bar: a name of VIEWS in app.js; the queue has incident and responders beside it. */
export const view = signal("queue");
/** The views that the one who is here may see, in the order of the menu. */
export const reachable = signal([]);
/** {id, numbers, until}: full telephone numbers of the opened incident, for a minute; else null. */
export const revealed = signal(null);

/** So long a full number or record is shown (console design, 8). */
export const SHOWN_MS = 60_000;
const FORM = "form";
const OPENED = "opened";
const draftKey = (incident, name) => `draft:${incident}:${name}`;

function remember(key, value) {
  if (value === null || value === undefined) sessionStorage.removeItem(key);
  else sessionStorage.setItem(key, JSON.stringify(value));
}

function recall(key) {
  try {
    return JSON.parse(sessionStorage.getItem(key));
  } catch {
    return null;
  }
}

/** Drafts survive a reload, a conflict and Esc; they go when the server has the text, or the person leaves. */
export const draftOf = (incident, name) => recall(draftKey(incident, name)) ?? {};
export const keepDraft = (incident, name, values) => remember(draftKey(incident, name), values);
export const dropDraft = (incident, name) => remember(draftKey(incident, name), null);
export const hasDraft = (incident, name) => sessionStorage.getItem(draftKey(incident, name)) !== null;

export function open(id) {
  view.value = state.requests.has(id) ? "requests" : "queue";
  opened.value = id;
  cursor.value = id;
  if (form.value && form.value.incident !== id) form.value = null;
}

/** A request for a service, out of its own list. */
export function openRequest(id) {
  view.value = "requests";
  opened.value = id;
  if (form.value && form.value.incident !== id) form.value = null;
}

export function openForm(id, name) {
  open(id);
  form.value = { incident: id, name };
}

export function closeForm() {
  form.value = null;
}

export const focusIncident = () => document.querySelector(".incident")?.focus({ preventScroll: true });
export const focusQueue = () => document.querySelector(".queue [role=grid]")?.focus({ preventScroll: true });

/** Take up what was open before a reload. */
export function restore() {
  opened.value = recall(OPENED);
  cursor.value = opened.value;
  form.value = recall(FORM);
}

/** Show full numbers for a minute, of the incident that is open and in one's own hands; they are kept nowhere else. */
export function showNumbers(id, numbers) {
  const shown = { id, numbers, until: now() + SHOWN_MS };
  revealed.value = shown;
  setTimeout(() => { if (revealed.value === shown) revealed.value = null; }, SHOWN_MS);
}

let loading = null;
let timer = null;

export function loadDetail() {
  clearTimeout(timer);
  timer = setTimeout(readDetail, DETAIL_PAUSE_MS);
}

async function readDetail() {
  const id = opened.value;
  loading?.abort();
  if (id === null) return;
  loading = new AbortController();
  try {
    const { status, body: data } = await exchange(`/api/v1/incidents/${encodeURIComponent(id)}`, { stop: loading.signal });
    if (status === 404) {
      opened.value = null;
      return;
    }
    if (status !== 200) throw new Error(String(status));
    if (data.request) receiveRow({ ...data.incident, line: undefined, device: undefined }); // the feed has no requests; a row has no line but of a thing
    if (opened.value === id) detail.value = { id, data, failed: false };
  } catch (error) {
    if (error.name !== "AbortError") detail.value = { ...detail.value, failed: true };
  }
}

/** Follow the store: read the detail again when the opened incident has changed, or somebody else is on duty here. */
export function startWork() {
  let shown = "";
  effect(() => {
    incidentsChanged.value;
    const id = opened.value;
    const row = id === null ? null : rowOf(id);
    const wanted = id === null ? "" : `${id} ${row?.version} ${session.value?.name}`;
    if (wanted !== shown) {
      shown = wanted;
      if (detail.value?.id !== id) readDetail();
      else loadDetail();
    }
  });
  effect(() => {
    requestCounts.value;
    if (state.requests.has(opened.peek())) loadDetail();
  });
  let name = null;
  effect(() => {
    if (session.value === null) return;
    const before = name;
    name = session.value.name;
    if (name !== null && (before === null || before === name)) return;
    opened.value = null; // whoever comes next begins with an empty desk, also when another window has logged somebody else in
    cursor.value = null;
    form.value = null;
    detail.value = null;
  });
  effect(() => {
    incidentsChanged.value;
    const id = revealed.value?.id;
    const row = rowOf(id);
    if (id !== undefined && (opened.value !== id || (role.value !== "supervisor" && (row?.owner !== session.value?.name || row.state === "closed")))) revealed.value = null;
  });
  effect(() => remember(OPENED, opened.value));
  effect(() => remember(FORM, form.value));
}
