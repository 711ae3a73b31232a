// The picture itself: Leaflet, told what to draw. Knows no incident and no server; words come from whoever draws.
// Without a base map there is a grid of kilometres; all that matters is drawn over either.

const STYLE = "/static/vendor/leaflet.css";
const METRES_PER_DEGREE = 111_195; // of latitude, on a sphere of the mean radius
const GRID_LINES = 14; // at most, each way
const GRID_STEPS_M = [100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000];
const RINGS_KM = [1, 3, 5];
const CLOSEST = 17; // how close it goes by itself
const PADDING = { paddingTopLeft: [40, 30], paddingBottomRight: [96, 30] }; // names stand to the right of their signs

let loading = null;

/** Leaflet, loaded when a map is first shown. */
function loadLeaflet() {
  loading ??= (async () => {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = STYLE;
    const styled = new Promise((done) => { style.onload = style.onerror = done; });
    document.head.prepend(style); // before our own, which corrects it
    await Promise.all([styled, import("leaflet")]);
    return globalThis.leaflet ?? globalThis.L;
  })();
  return loading;
}

/** A label that is drawn on the map: an element with classes and texts, never HTML out of data. `parts`: [class, text]…. */
function sign(L, className, parts) {
  const box = document.createElement("span");
  for (const [name, text] of parts) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    box.append(part, " ");
  }
  return L.divIcon({ className: `map-sign ${className}`, html: box, iconSize: null });
}

const isCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/**
 * Make a map in `node`. given: {center, zoom, crs, layers, words: {zoomIn, zoomOut}}.
 * Returns {draw(things), fit(points), resize(), remove()}; a thing is {kind, …}: see DRAWN.
 */
export async function makeMap(node, given) {
  const [L, gcj] = await Promise.all([loadLeaflet(), given.crs === "gcj02" ? import("./gcj.js") : null]);
  const calm = isCalm();
  const map = L.map(node, {
    crs: gcj ? gcj.gcjCrs(L) : L.CRS.EPSG3857,
    center: given.center ?? [36, 103],
    zoom: given.zoom,
    minZoom: 3,
    maxZoom: 19,
    attributionControl: false, // it is text of ours beside the map, so that no HTML comes from a configuration
    zoomControl: false,
    zoomAnimation: !calm,
    fadeAnimation: !calm,
    markerZoomAnimation: !calm,
    inertia: !calm,
  });
  L.control.zoom({ zoomInTitle: given.words.zoomIn, zoomOutTitle: given.words.zoomOut }).addTo(map);
  L.control.scale({ imperial: false, maxWidth: 90 }).addTo(map);
  for (const layer of given.layers.filter((one) => !one.refused)) {
    L.tileLayer(`/tiles/${encodeURIComponent(layer.name)}/{z}/{x}/{y}`, {
      minNativeZoom: layer.min_zoom, maxNativeZoom: layer.max_zoom, maxZoom: 19, opacity: layer.opacity, className: "map-tile",
    }).addTo(map);
  }
  map.createPane("grid"); // below the base map: it is seen where no square has come
  const grid = L.layerGroup().addTo(map);
  const drawGrid = () => gridLines(L, map, grid, given.center ?? [36, 103]);
  map.on("moveend", drawGrid);
  drawGrid();
  const drawn = L.layerGroup().addTo(map);
  return {
    /** Everything anew: a few dozen things, seldom. */
    draw(things) {
      const focused = document.activeElement?.dataset?.mapKey;
      drawn.clearLayers();
      for (const thing of things) DRAWN[thing.kind](L, drawn, thing);
      if (focused) node.querySelector(`[data-map-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    },
    /** Show all of these points. */
    fit(points) {
      if (points.length === 0) return;
      map.fitBounds(L.latLngBounds(points), { ...PADDING, maxZoom: Math.min(CLOSEST, points.length > 1 ? CLOSEST : 15), animate: false });
    },
    resize: () => map.invalidateSize({ animate: false }),
    remove() {
      map.off("moveend", drawGrid); // Leaflet says a move 200 ms after the window's size has changed, even of a map that is gone
      map.remove();
    },
  };
}

/** Kilometre lines, counted from the centre of the configuration, in a width that leaves a dozen on the map. */
function gridLines(L, map, group, [baseLat, baseLon]) {
  group.clearLayers();
  const bounds = map.getBounds();
  const [south, west, north, east] = [bounds.getSouth(), bounds.getWest(), bounds.getNorth(), bounds.getEast()];
  const perLon = METRES_PER_DEGREE * Math.cos((((south + north) / 2) * Math.PI) / 180);
  const width = Math.max((north - south) * METRES_PER_DEGREE, (east - west) * perLon);
  const step = GRID_STEPS_M.find((one) => width / one <= GRID_LINES);
  if (!step) return;
  const line = (points) => L.polyline(points, { className: "map-grid", interactive: false, pane: "grid" }).addTo(group);
  const [latStep, lonStep] = [step / METRES_PER_DEGREE, step / perLon];
  for (let lat = baseLat + Math.ceil((south - baseLat) / latStep) * latStep; lat <= north; lat += latStep) line([[lat, west], [lat, east]]);
  for (let lon = baseLon + Math.ceil((west - baseLon) / lonStep) * lonStep; lon <= east; lon += lonStep) line([[south, lon], [north, lon]]);
}

/** What can be drawn. Lines and areas are pictures only; `marker` may be chosen (`onChoose`) and is reached by keys when it has `key`. */
const DRAWN = {
  /** polygons of rings of [lat, lon]. */
  area(L, group, { polygons, className }) {
    L.polygon(polygons, { className: `map-area ${className}`, interactive: false }).addTo(group);
  },
  circle(L, group, { at, metres, className }) {
    L.circle(at, { radius: metres, className: `map-circle ${className}`, interactive: false }).addTo(group);
  },
  line(L, group, { points, className }) {
    L.polyline(points, { className: `map-line ${className}`, interactive: false }).addTo(group);
  },
  /** Rings of 1, 3 and 5 km. */
  rings(L, group, { at, unit }) {
    for (const km of RINGS_KM) {
      L.circle(at, { radius: km * 1000, className: "map-ring", interactive: false }).addTo(group);
      L.marker([at[0] + (km * 1000) / METRES_PER_DEGREE, at[1]], { icon: sign(L, "ring-name", [["", unit(km)]]), interactive: false, keyboard: false }).addTo(group);
    }
  },
  /** parts: [class, text]…; title: all that is known of it, for who hears and who hovers. */
  marker(L, group, { at, className, parts, title, key, onChoose, above = 0 }) {
    const marker = L.marker(at, { icon: sign(L, className, parts), keyboard: Boolean(key), interactive: Boolean(key || title), zIndexOffset: above }).addTo(group);
    const element = marker.getElement();
    if (title) element.title = title;
    if (key) {
      element.dataset.mapKey = key;
      element.setAttribute("aria-label", title);
    }
    if (onChoose) {
      marker.on("click", onChoose);
      marker.on("keydown", ({ originalEvent }) => {
        if (originalEvent.key !== "Enter" && originalEvent.key !== " ") return;
        originalEvent.preventDefault();
        onChoose();
      });
    }
  },
};
