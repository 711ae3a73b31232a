// What is on the map and in its list: pure, out of what the server said. The same things in both, so that nobody needs to see the map.
import { MARKS, kilometres, kindText, lasted, travel } from "./ui.js";
import { clockTime } from "./clock.js";
import { label, t } from "./i18n.js";

const MEDICAL = new Set(["health_station", "health_centre", "hospital", "doctor", "emergency"]);
const NEAR_BY = new Set(["neighbour", "property"]);
const MOVING = new Set(["accepted", "en_route", "arrived"]);
const GONE = new Set(["declined", "expired", "failed", "withdrawn"]);
const NAMED = 3; // candidates with a name on the map; the others have their sign, and stand in the list
const POINTS = ["n", "ne", "e", "se", "s", "sw", "w", "nw"];

const signOf = (kind) => (MEDICAL.has(kind) ? "✚" : NEAR_BY.has(kind) ? "◇" : "▣");

/** Eight words are enough to walk by. */
export function bearingText(degrees) {
  return degrees === null || degrees === undefined ? "" : t(`bearing.${POINTS[Math.round(degrees / 45) % 8]}`);
}

/** "2 min ago"; whoever wants the second finds it in the list. */
const agoText = (at, now) => t("lasted.ago", { time: lasted((now - Date.parse(at)) / 1000) });

/** Everything about how good a fix is: source, radius, system, age. */
function fixText(fix, now) {
  const parts = [label("position", fix.source)];
  if (fix.accuracy_m !== null) parts.push(`±${Math.round(fix.accuracy_m)} m`);
  if (fix.datum !== "wgs84") parts.push(t("map.sent_as", { datum: label("datum", fix.datum) }));
  if (fix.fixed_at) parts.push(`${agoText(fix.fixed_at, now)} (${clockTime(fix.fixed_at)})`);
  return parts.join(" · ");
}

/** Of one incident. under: GET /api/v1/map; data: GET /api/v1/incidents/{id}/map; now: server milliseconds. */
export function incidentThings(under, data, now) {
  const things = [];
  const points = [];
  const list = [];
  const origin = data.origin && [data.origin.lat, data.origin.lon];
  reach(things, data.circle);
  if (origin) {
    things.push({ kind: "rings", at: origin, unit: (km) => `${km} km` });
    points.push(origin);
    person(things, list, data, now, under.fresh_s * 1000);
  }
  const legs = new Map(data.legs.map((leg) => [leg.responder, leg]));
  const shown = new Set();
  const known = [...data.legs, ...data.candidates.filter((one) => !legs.has(one.responder))];
  known.forEach((one, place) => {
    if (shown.has(one.responder)) return;
    shown.add(one.responder);
    const leg = legs.get(one.responder);
    const isNamed = Boolean(leg && !GONE.has(leg.state)) || place < NAMED;
    if (isNamed) points.push([one.lat, one.lon]);
    const state = leg ? label("leg", leg.state) : label("verdict_now", one.verdict);
    const row = { key: one.responder, mark: signOf(one.kind), name: one.name, kind: kindText(one), travel: travel(one.travel_min), km: kilometres(one.km), bearing: bearingText(one.bearing), state };
    list.push(row);
    if (leg && MOVING.has(leg.state) && origin) things.push({ kind: "line", points: [[one.lat, one.lon], origin], className: leg.state });
    things.push({
      kind: "marker", at: [one.lat, one.lon], key: `responder:${one.responder}`, above: leg ? 400 : isNamed ? 300 : 0,
      className: `responder ${leg ? `leg ${leg.state}` : one.verdict}`,
      parts: [["mark", row.mark], ...(isNamed ? [["name", one.name], ["travel", one.travel_min === null ? "" : row.travel]] : [])],
      title: [one.travel_min === null ? one.name : `${one.name} ${row.travel}`, row.kind, row.km, row.bearing, state].filter(Boolean).join(" · "), // begins with what is seen
    });
  });
  others(things, under, shown);
  return { things, points, list };
}

/** The fifteen minutes of whoever is meant to go: an outline along roads, or a circle; an estimate either way. */
function reach(things, circle) {
  if (!circle) return;
  const className = `reach${circle.beyond ? " beyond" : ""}`;
  if (circle.rings) things.push({ kind: "area", polygons: circle.rings, className });
  else if (circle.km) things.push({ kind: "circle", at: [circle.lat, circle.lon], metres: circle.km * 1000, className });
}

function person(things, list, data, now, freshMs) {
  const { fix, home, origin, masked } = data;
  const at = [origin.lat, origin.lon];
  const isOld = Boolean(fix?.fixed_at) && now - Date.parse(fix.fixed_at) > freshMs;
  const coarse = masked ? t("map.coarse", { km: data.coarse_m / 1000 }) : "";
  if (masked) things.push({ kind: "circle", at, metres: data.coarse_m, className: "coarse" });
  else if (fix?.accuracy_m) things.push({ kind: "circle", at, metres: fix.accuracy_m, className: `radius${isOld ? " old" : ""}` });
  if (data.track.length > 1) things.push({ kind: "line", points: data.track.map((one) => [one.lat, one.lon]), className: "track" });
  const what = fix ? fixText(fix, now) : label("position", origin.of);
  const age = fix?.fixed_at ? agoText(fix.fixed_at, now) : label("position", origin.of);
  const title = [masked ? coarse : age, t("map.person"), what].filter(Boolean).join(" · ");
  const mark = masked ? "◌" : fix ? (isOld ? "○" : "◉") : "⌂"; // nobody shall take the middle of a kilometre for a door
  things.push({
    kind: "marker", at, key: "person", above: 1000, className: `person ${fix ? "fix" : "home"} ${isOld ? "old" : ""} ${data.severity}`,
    parts: [["mark", mark], ["age", masked ? coarse : age]], title,
  });
  list.push({ key: "person", mark, name: t("map.person"), kind: [what, isOld ? t("map.old") : "", coarse].filter(Boolean).join(" · "), place: masked ? "" : `${origin.lat}, ${origin.lon}` });
  if (fix && home && !masked) {
    things.push({ kind: "marker", at: [home.lat, home.lon], className: "home-mark", parts: [["mark", "⌂"]], title: label("position", "home") });
    list.push({ key: "home", mark: "⌂", name: label("position", "home"), kind: "", place: `${home.lat}, ${home.lon}` });
  }
}

/** Responders that nobody thinks of sending: small, for orientation. */
function others(things, under, shown) {
  for (const one of under.responders) {
    if (shown.has(one.id)) continue;
    const duty = one.on_duty ? "" : t("map.off_duty");
    things.push({
      kind: "marker", at: [one.lat, one.lon], above: -200, className: `responder other ${one.on_duty ? "" : "off"}`,
      parts: [["mark", signOf(one.kind)]], title: [one.name, kindText(one), duty].filter(Boolean).join(" · "),
    });
  }
}

/** Of all open incidents, by squares of a kilometre. data: GET /api/v1/map/incidents; choose(id) opens one. */
export function overviewThings(under, data, choose) {
  const things = [];
  const list = [];
  others(things, under, new Set());
  for (const spot of data?.spots ?? []) {
    const key = `${spot.lat},${spot.lon}`;
    const name = t("map.spot", { n: spot.count });
    list.push({ key, mark: MARKS[spot.severity], severity: spot.severity, name, kind: label("severity", spot.severity), incidents: spot.incidents });
    things.push({
      kind: "marker", at: [spot.lat, spot.lon], key, above: 500, className: `spot ${spot.severity}`, parts: [["mark", MARKS[spot.severity]], ["count", String(spot.count)]],
      title: [String(spot.count), label("severity", spot.severity), name, spot.incidents.slice(0, 5).join(" "), t("map.coarse", { km: data.coarse_m / 1000 })].join(" · "), onChoose: () => choose(spot.incidents[0]),
    });
  }
  const points = [...(data?.spots ?? []), ...under.responders].map((one) => [one.lat, one.lon]);
  return { things, points, list };
}

/** The boundary below everything; where there is none, nothing. */
export const boundaryThing = (under) => (under.boundary?.polygons ? [{ kind: "area", polygons: under.boundary.polygons, className: "boundary" }] : []);
