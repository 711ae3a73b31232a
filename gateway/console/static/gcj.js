// WGS-84 and GCJ-02 (Amap, Tencent), both ways: the same arithmetic as gateway/coordinates.py, which a test compares with it.
// Inside the page everything is WGS-84; only a base map in GCJ-02 is drawn by `gcjCrs`.

const AXIS = 6_378_245; // Krasovsky 1940, metres …
const ECCENTRICITY = 0.00669342162296594323; // … and e²
const STEPS = 6; // of the inverse, which has no closed form; three are exact to a millimetre

// Mainland China, [lat, lon]: it decides about a shift and draws no border (see gateway/coordinates.py).
const OUTLINE = [
  [22.76, 116.59], [21.15, 111.42], [20.55, 111.08], [19.54, 111.21], [18.54, 110.56], [17.97, 109.59], [18.48, 108.48], [20.84, 108.65],
  [21.79, 106.55], [22.67, 106.39], [23.08, 105.31], [22.31, 104.01], [22.5, 102.54], [22.19, 101.78], [20.96, 101.83], [21.01, 101.16],
  [21.49, 100.97], [21.26, 100.08], [21.84, 99.72], [22.05, 98.97], [22.87, 99.15], [23.07, 98.69], [23.91, 98.46], [23.89, 97.32], [24.82, 97.35],
  [26.65, 98.54], [27.37, 98.48], [28.14, 97.8], [28.25, 96.39], [29.15, 95.98], [29.05, 94.61], [27.64, 92.51], [27.56, 91.6], [28.14, 90.08],
  [27.12, 88.88], [27.87, 88.62], [27.69, 85.93], [30.14, 81.91], [29.84, 81.01], [31.18, 78.59], [32.62, 78.2], [32.73, 79.26], [33.42, 78.61],
  [34.27, 78.66], [35.24, 77.8], [35.63, 76.07], [36.49, 75.72], [36.98, 74.24], [37.5, 74.72], [38.36, 74.58], [38.46, 73.66], [39.53, 73.45],
  [40.7, 74.76], [40.62, 76.35], [41.19, 76.77], [41.25, 78.03], [42.22, 80.01], [43.45, 80.49], [45.04, 79.71], [45.41, 82.13], [47.4, 82.96],
  [47.25, 85.36], [48.48, 85.56], [48.69, 86.43], [49.31, 86.84], [49.35, 87.9], [48.36, 88.77], [47.8, 90.49], [46.61, 91.24], [45.42, 90.99],
  [45.14, 93.57], [44.46, 95.49], [42.94, 96.53], [42.73, 101.57], [41.83, 104.98], [42.48, 106.73], [42.94, 110.28], [43.83, 111.64],
  [44.42, 111.2], [45.27, 111.89], [44.95, 113.58], [45.57, 114.46], [45.64, 115.58], [46.76, 117.34], [46.81, 119.66], [47.79, 118.44],
  [47.49, 115.89], [48.17, 115.32], [50.0, 116.59], [49.72, 117.79], [50.19, 119.07], [50.52, 118.98], [52.15, 120.52], [52.85, 119.86],
  [53.47, 120.83], [53.76, 123.63], [53.24, 125.71], [52.24, 126.73], [49.81, 127.87], [49.05, 130.77], [47.89, 131.13], [48.42, 134.85],
  [47.62, 134.95], [47.22, 134.4], [44.98, 133.26], [45.06, 131.85], [44.72, 131.26], [42.76, 131.24], [42.33, 130.52], [42.76, 129.99],
  [42.27, 129.81], [41.81, 128.38], [41.19, 128.21], [41.49, 126.76], [40.74, 126.13], [39.34, 123.6], [38.34, 122.81], [36.75, 122.65],
  [36.46, 121.34], [35.64, 120.39], [34.9, 120.21], [33.72, 120.73], [30.78, 122.72], [29.76, 122.58], [27.34, 121.27], [26.37, 120.18],
  [25.03, 119.69],
];
// What lies within it and is not shifted.
const EXCEPT = [
  [
    [22.14, 113.83], [22.33, 113.83], [22.42, 113.88], [22.46, 113.94], [22.485, 113.985], [22.497, 114.028], [22.505, 114.058], [22.516, 114.063],
    [22.522, 114.086], [22.529, 114.083], [22.535, 114.091], [22.535, 114.108], [22.529, 114.116], [22.538, 114.13], [22.539, 114.148],
    [22.552, 114.155], [22.5635, 114.173], [22.557, 114.19], [22.556, 114.23], [22.56, 114.245], [22.56, 114.31], [22.57, 114.36], [22.57, 114.44],
    [22.5, 114.46], [22.14, 114.5],
  ],
  [
    [22.2165, 113.537], [22.2155, 113.552], [22.2, 113.575], [22.1, 113.6], [22.1, 113.54], [22.14, 113.543], [22.152, 113.532], [22.163, 113.54],
    [22.172, 113.541], [22.178, 113.526], [22.19, 113.522], [22.2, 113.529], [22.212, 113.533],
  ],
  [
    [24.36, 118.2], [24.47, 118.21], [24.535, 118.3], [24.535, 118.5], [24.36, 118.5],
  ],
  [
    [25.93, 119.88], [26.27, 119.9], [26.27, 120.05], [25.93, 120.0],
  ],
];

/** Even-odd rule: a ray to the east crosses the ring an odd number of times. */
function isInside(ring, lat, lon) {
  let inside = false;
  let [beforeLat, beforeLon] = ring[ring.length - 1];
  for (const [toLat, toLon] of ring) {
    if (toLat > lat !== beforeLat > lat && lon < toLon + ((lat - toLat) * (beforeLon - toLon)) / (beforeLat - toLat)) inside = !inside;
    [beforeLat, beforeLon] = [toLat, toLon];
  }
  return inside;
}

const isNear = (lat, lon) => lat >= 0.8 && lat <= 55.9 && lon >= 72 && lon <= 137.9;

/** Is this WGS-84 point in mainland China, where maps are shifted? Rough at the frontier. */
export function isMainland(lat, lon) {
  return isNear(lat, lon) && isInside(OUTLINE, lat, lon) && !EXCEPT.some((ring) => isInside(ring, lat, lon));
}

/** GCJ-02 of WGS-84 by the formula, wherever it is. [lat, lon], degrees. */
function shifted(lat, lon) {
  const { PI, sin, cos, sqrt, abs } = Math;
  const x = lon - 105;
  const y = lat - 35;
  const common = 20 * sin(6 * PI * x) + 20 * sin(2 * PI * x);
  let north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * sqrt(abs(x));
  north += (2 / 3) * (common + 20 * sin(PI * y) + 40 * sin((PI * y) / 3) + 160 * sin((PI * y) / 12) + 320 * sin((PI * y) / 30));
  let east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * sqrt(abs(x));
  east += (2 / 3) * (common + 20 * sin(PI * x) + 40 * sin((PI * x) / 3) + 150 * sin((PI * x) / 12) + 300 * sin((PI * x) / 30));
  const at = (lat * PI) / 180;
  const m = 1 - ECCENTRICITY * sin(at) ** 2;
  north *= (180 * m * sqrt(m)) / (AXIS * (1 - ECCENTRICITY) * PI);
  east *= (180 * sqrt(m)) / (AXIS * cos(at) * PI);
  return [lat + north, lon + east];
}

/** WGS-84 → GCJ-02; outside mainland China both are the same. [lat, lon], degrees. */
export function toGcj(lat, lon) {
  return isMainland(lat, lon) ? shifted(lat, lon) : [lat, lon];
}

/** GCJ-02 → WGS-84 by fixed-point steps. */
export function fromGcj(lat, lon) {
  if (!isNear(lat, lon)) return [lat, lon];
  let [atLat, atLon] = [lat, lon];
  for (let step = 0; step < STEPS; step += 1) {
    const [thereLat, thereLon] = shifted(atLat, atLon);
    [atLat, atLon] = [atLat - (thereLat - lat), atLon - (thereLon - lon)];
  }
  return isMainland(atLat, atLon) ? [atLat, atLon] : [lat, lon];
}

/** A Leaflet CRS for base maps in GCJ-02: markers, circles and clicks stay in WGS-84 and need no thought. */
export function gcjCrs(L) {
  const mercator = L.Projection.SphericalMercator;
  const projection = {
    ...mercator,
    project: (at) => mercator.project(L.latLng(...toGcj(at.lat, at.lng))),
    unproject(point) {
      const at = mercator.unproject(point);
      return L.latLng(...fromGcj(at.lat, at.lng));
    },
  };
  return L.extend({}, L.CRS.EPSG3857, { code: "GCJ-02", projection });
}
