// What the map reads, and how its two windows keep together: the desk says which incident is open, the window on screen two follows.
import { effect, signal } from "@preact/signals";
import { question } from "./reading.js";

const CHANNEL = "gateway-map";
const NAME = "map.link"; // in the session storage: a desk that is loaded again is the same desk to its second window
const BEAT_MS = 5000;
export const SILENT_MS = 12_000; // two beats and a little: then nobody leads

export const under = question();
export const ofIncident = question();
export const ofAll = question();

/** Read what lies under the map; the points of a boundary that we have are not read again. */
export function readUnder() {
  const has = under.state.peek().data?.boundary;
  return under.ask(`/api/v1/map?boundary=${encodeURIComponent(has?.digest ?? "")}`, (data) =>
    data.boundary && !data.boundary.polygons ? { ...data, boundary: { ...has, ...data.boundary } } : data);
}

export const readIncident = (id) => ofIncident.ask(`/api/v1/incidents/${encodeURIComponent(id)}/map`);
export const readAll = () => ofAll.ask("/api/v1/map/incidents");

/** The data of this incident, null while it is not there or may not be seen. */
export function incidentData(id) {
  const { data, error } = ofIncident.state.value;
  return data?.incident === id && !error ? data : null;
}

let ourName = null;

/** How the two windows of one desk know each other: nothing of anybody's is in it. Kept anew each time: whoever comes on duty empties the storage. */
export function linkName() {
  ourName ??= sessionStorage.getItem(NAME) ?? [...crypto.getRandomValues(new Uint8Array(6))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  sessionStorage.setItem(NAME, ourName);
  return ourName;
}

/** On the desk: tell the other window what is open. what(): {incident, version}, read as signals; choose(id): it was chosen over there. */
export function lead(what, choose) {
  const channel = new BroadcastChannel(CHANNEL);
  let said = {};
  const tell = () => channel.postMessage({ of: linkName(), ...said });
  effect(() => {
    said = what();
    tell();
  });
  channel.onmessage = ({ data }) => {
    if (data.to !== linkName()) return;
    if (data.choose) choose(data.choose);
    else tell();
  };
  setInterval(tell, BEAT_MS);
}

/** On screen two: {incident, version, heard} as the desk says it, and choose(id). */
export function follow(of) {
  const led = signal({ incident: null, version: 0, heard: 0 });
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }) => {
    if (data.of === of) led.value = { incident: data.incident ?? null, version: data.version ?? 0, heard: performance.now() };
  };
  channel.postMessage({ to: of });
  return { led, choose: (id) => channel.postMessage({ to: of, choose: id }) };
}

/** Open the map in a window of its own; false when the browser forbids it. */
export function popOut() {
  const of = linkName();
  const opened = window.open(`/?view=map&of=${of}`, `gateway-map-${of}`, "popup,width=1200,height=900");
  opened?.focus();
  return opened !== null;
}
