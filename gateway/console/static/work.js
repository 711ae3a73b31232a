// What the operator is doing: the row under the cursor, the incident opened, the form open in it and its draft.
import { effect, signal } from "@preact/signals";
import { now } from "./clock.js";
import { incidentsChanged, session, state } from "./store.js";

const DETAIL_PAUSE_MS = 150; // changes of one incident come in bursts; read its detail once a burst

export const cursor = signal(null);
export const opened = signal(null);
/** {id, data, failed}: the detail of the opened incident; `id` may lag behind `opened` while it loads. */
export const detail = signal(null);
/** {incident, name}: the form in the middle pane, or null. */
export const form = signal(null);
export const helpShown = signal(false);
/** {id, numbers, until}: full telephone numbers of the opened incident, for a minute; else null. */
export const revealed = signal(null);

const REVEALED_MS = 60_000; // console design, 8
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
  opened.value = id;
  cursor.value = id;
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
  const shown = { id, numbers, until: now() + REVEALED_MS };
  revealed.value = shown;
  setTimeout(() => { if (revealed.value === shown) revealed.value = null; }, REVEALED_MS);
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
    const answer = await fetch(`/api/v1/incidents/${encodeURIComponent(id)}`, { signal: loading.signal });
    if (answer.status === 404) {
      opened.value = null;
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    const data = await answer.json();
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
    const row = id === null ? null : state.incidents.get(id);
    const wanted = id === null ? "" : `${id} ${row?.version} ${session.value?.name}`;
    if (wanted !== shown) {
      shown = wanted;
      if (detail.value?.id !== id) readDetail();
      else loadDetail();
    }
  });
  effect(() => {
    if (session.value?.name !== null) return;
    opened.value = null; // whoever comes next begins with an empty desk
    cursor.value = null;
    form.value = null;
    detail.value = null;
  });
  effect(() => {
    incidentsChanged.value;
    const id = revealed.value?.id;
    const row = state.incidents.get(id);
    if (id !== undefined && (opened.value !== id || row?.owner !== session.value?.name || row.state === "closed")) revealed.value = null;
  });
  effect(() => remember(OPENED, opened.value));
  effect(() => remember(FORM, form.value));
}
