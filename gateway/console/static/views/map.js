// The map above the responders: where the person is, who is how far, and all that in a list as well.
import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { now, second } from "../clock.js";
import { notice } from "../commands.js";
import { label, language, t } from "../i18n.js";
import { makeMap } from "../map.js";
import { incidentData, lead, ofAll, popOut, readAll, readIncident, readUnder, under } from "../map_data.js";
import { boundaryThing, incidentThings, overviewThings } from "../map_things.js";
import { me, rowOf, session } from "../store.js";
import { html } from "../ui.js";
import { detail, open, opened } from "../work.js";

const UNDER_MS = 60_000; // who is on duty, whether a base map has come back
const ALL_MS = 15_000;
const AGE_MS = 30_000; // "2 minutes ago" is drawn anew so often
const FOLDED = "map.folded";

function recall() {
  try {
    return localStorage.getItem(FOLDED) === "yes";
  } catch {
    return false; // a browser that keeps nothing
  }
}

const folded = signal(recall());
/** Of this window: all incidents in place of the one that is open; the list in place of the picture. */
const all = signal(false);
const listed = signal(false);

function fold(isFolded) {
  folded.value = isFolded;
  try {
    localStorage.setItem(FOLDED, isFolded ? "yes" : "no");
  } catch {
    // then for this page only
  }
}

/** Read at once and again and again, while `wanted`. */
function useReading(read, everyMs, wanted, ...when) {
  useEffect(() => {
    if (!wanted) return undefined;
    read();
    const timer = setInterval(read, everyMs);
    return () => clearInterval(timer);
  }, [wanted, ...when]);
}

/** The picture. what: {things, points}; subject: when it changes, all points are brought into sight. */
function Picture({ ground, what, subject }) {
  const node = useRef(null);
  const made = useRef(null);
  const fitted = useRef(null);
  const [isReady, setReady] = useState(false);
  const base = `${language.value} ${JSON.stringify([ground.crs, ground.center, ground.zoom, ground.layers.map((one) => [one.name, one.refused])])}`;
  useEffect(() => {
    let isGone = false;
    let watching = null;
    setReady(false);
    makeMap(node.current, { ...ground, words: { zoomIn: t("map.zoom_in"), zoomOut: t("map.zoom_out") } }).then((map) => {
      if (isGone) return map.remove();
      made.current = map;
      fitted.current = null;
      watching = new ResizeObserver(() => map.resize());
      watching.observe(node.current);
      return setReady(true);
    }).catch(() => undefined); // without Leaflet the list says all
    return () => {
      isGone = true;
      watching?.disconnect();
      made.current?.remove();
      made.current = null;
    };
  }, [base]);
  useEffect(() => {
    if (!isReady || !made.current) return;
    made.current.draw([...boundaryThing(ground), ...what.things]);
    if (fitted.current === subject) return;
    fitted.current = subject;
    made.current.fit(what.points);
  }, [isReady, what, ground.boundary, subject]);
  return html`<div class="map-picture" ref=${node} role="application" aria-label=${t("map.picture")} tabindex="0"></div>`;
}

/** The same in words. */
function List({ list, isAll, choose }) {
  if (list.length === 0) return html`<p class="quiet map-none">${t(isAll ? "map.no_incident" : "map.nowhere")}</p>`;
  if (isAll) {
    return html`<ul class="map-spots">${list.map((row) => html`<li key=${row.key}><span class=${`mark ${row.severity}`}>${row.mark}</span> ${row.kind} · ${row.name}
      ${row.incidents.map((id) => html`<button class="small" key=${id} onClick=${() => choose(id)}>${id}</button>`)}</li>`)}</ul>`;
  }
  return html`<table class="map-list">
    <thead><tr><th>${t("responders.name")}</th><th>${t("responders.travel")}</th><th>${t("map.where")}</th><th>${t("responders.verdict")}</th></tr></thead>
    <tbody>${list.map((row) => (row.place !== undefined
      ? html`<tr key=${row.key}><td colspan="4"><span aria-hidden="true">${row.mark}</span> <b>${row.name}</b> ${row.place} <span class="quiet">${row.kind}</span></td></tr>`
      : html`<tr key=${row.key}><td><span aria-hidden="true">${row.mark}</span> <b>${row.name}</b> <span class="quiet">${row.kind}</span></td>
        <td>${row.travel}</td><td>${row.bearing} ${row.km}</td><td>${row.state}</td></tr>`))}</tbody>
  </table>`;
}

/** What must be said of the picture: that it is a sketch, whose it is, what of it is missing, that times are estimates. */
function Foot({ ground, data }) {
  const broken = ground.layers.filter((one) => one.refused || one.trouble);
  const from = ground.boundary ? t("map.boundary_from", { source: ground.boundary.source }) : "";
  return html`<footer class="map-foot">
    ${data?.circle?.beyond && html`<p class="flag beyond">⚠ ${label("flag", "beyond_circle")}</p>`}
    ${data?.masked && html`<p>${t("map.masked", { km: data.coarse_m / 1000 })}</p>`}
    ${data?.circle && html`<p><i class="reach-key" aria-hidden="true"></i> ${t(data.circle.rings ? "map.reach_roads" : "map.reach_line", { name: data.circle.name, n: data.circle.minutes })}</p>`}
    ${broken.map((one) => html`<p class="warning" key=${one.name}>${t("map.layer_out", { name: one.name, why: label("map_trouble", one.refused || one.trouble) })}</p>`)}
    <p class="map-source">${ground.sketch && html`<b>${t("map.sketch")}</b> `}${[ground.attribution, ground.approval, from].filter(Boolean).join(" · ")}</p>
  </footer>`;
}

/** Of an incident, or of all: what is drawn, what is listed. */
function useWhat(ground, id, isAll, choose) {
  const data = isAll ? null : incidentData(id);
  const every = ofAll.state.value.data;
  const age = Math.floor(second.value / AGE_MS);
  const what = useMemo(() => {
    if (!ground) return { things: [], points: [], list: [] };
    if (isAll) return overviewThings(ground, every, choose);
    return data ? incidentThings(ground, data, now()) : { ...overviewThings(ground, null, choose), list: [] };
  }, [ground, data, isAll && every, isAll, data && age, language.value]);
  return { data, what };
}

/** Map and list of one incident, or of all. isWide: both side by side, on screen two. */
export function MapBody({ id, version, isAll, isListed, isWide, choose }) {
  useReading(readUnder, UNDER_MS, true);
  useReading(readAll, ALL_MS, isAll);
  useEffect(() => { if (id && !isAll) readIncident(id); }, [id, version, isAll]);
  const ground = under.state.value.data;
  const { data, what } = useWhat(ground, id, isAll, choose);
  const { error } = under.state.value;
  if (!ground) return html`<p class=${error ? "error map-none" : "quiet map-none"}>${error || t("app.loading")}</p>`;
  const subject = isAll ? `all ${ofAll.state.value.data ? 1 : 0}` : `${data?.incident ?? ""} ${data?.masked ?? ""}`;
  const picture = (!isListed || isWide) && html`<${Picture} ground=${ground} what=${what} subject=${subject} />`;
  const list = (isListed || isWide) && html`<div class="map-words" role="group" tabindex="0" aria-label=${t("map.list")}><${List} list=${what.list} isAll=${isAll} choose=${choose} /></div>`;
  return html`<div class=${isWide ? "map-wide" : "map-body"}>${picture}${list}</div><${Foot} ground=${ground} data=${data} />`;
}

const Toggle = ({ on, name, onClick }) => html`<button class="small" aria-pressed=${on ? "true" : "false"} onClick=${onClick}>${t(name)}</button>`;

/** Above the responders. Its first look at Leaflet comes when it is first shown. */
export function MapPane() {
  language.value;
  const id = opened.value;
  const loaded = detail.value?.id === id ? detail.value?.data : null; // the record is journalled as seen by that request
  const isAll = all.value || id === null;
  if (folded.value) {
    return html`<section class="map-pane folded" aria-label=${t("map.title")}><header><h2>${t("map.title")}</h2>
      <button class="small" aria-expanded="false" onClick=${() => fold(false)}>${t("map.unfold")}</button><${PopOut} /></header></section>`;
  }
  return html`<section class="map-pane" aria-label=${t("map.title")}>
    <header><h2>${t("map.title")}</h2>
      <${Toggle} on=${isAll} name="map.all" onClick=${() => { all.value = !all.value; }} />
      <${Toggle} on=${listed.value} name="map.words" onClick=${() => { listed.value = !listed.value; }} />
      <${PopOut} />
      <button class="small" aria-expanded="true" onClick=${() => fold(true)}>${t("map.fold")}</button>
    </header>
    <${MapBody} id=${loaded ? id : null} version=${loaded?.incident.version} isAll=${isAll} isListed=${listed.value} choose=${open} />
  </section>`;
}

const PopOut = () => html`<button class="small" title="G M" onClick=${showMapWindow}>${t("map.pop_out")}</button>`;

/** G M. */
export function showMapWindow() {
  if (!popOut()) notice(() => t("map.blocked"), "warning");
}

/** Tell the window on screen two what is open here; nothing while nobody is on duty or the screen is locked. */
export function startMapLink() {
  lead(() => {
    const id = opened.value;
    const version = detail.value?.id === id ? detail.value?.data?.incident.version : undefined; // with the detail's, as above
    const isHere = me.value !== null && !session.value?.locked;
    return isHere && version !== undefined ? { incident: id, version } : { incident: null, version: isHere ? 0 : -1 };
  }, (id) => { if (rowOf(id)) open(id); });
}
