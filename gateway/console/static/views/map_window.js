// The map on screen two (/?view=map): follows the incident that is open on the desk. It hears the desk and reads the map; it does nothing.
import { effect, signal } from "@preact/signals";
import { hear, second, startClock } from "../clock.js";
import { language, t, useLanguage } from "../i18n.js";
import { SILENT_MS, follow, under } from "../map_data.js";
import { readJson } from "../reading.js";
import { session } from "../store.js";
import { fill, html } from "../ui.js";
import { districtName } from "./bar.js";
import { MapBody } from "./map.js";
import { Watermark } from "./watermark.js";

const AGAIN_MS = 2000;
const all = signal(false);

function Window({ led, choose }) {
  second.value; // silence is noticed by itself
  language.value;
  const { incident, version, heard } = led.value;
  const isAlone = performance.now() - heard > SILENT_MS;
  const isHidden = version < 0; // nobody on duty, or the screen is locked
  const isAll = all.value || incident === null;
  return html`<main class="map-window" aria-label=${t("map.title")}>
    <header><h1>${t("map.title")} <span class="quiet">${districtName()}</span></h1>
      ${!isHidden && html`<b>${isAll ? t("map.all_title") : incident}</b>`}
      ${isAlone && html`<span class="flag">${t("map.alone")}</span>`}
      <span class="spring"></span>
      ${!isHidden && html`<button class="small" aria-pressed=${isAll ? "true" : "false"} disabled=${incident === null} onClick=${() => { all.value = !all.value; }}>${t("map.all")}</button>`}
    </header>
    ${isHidden ? html`<p class="quiet map-none">${t("map.hidden")}</p>` : html`<${MapBody} id=${incident} version=${version} isAll=${isAll} isListed=${true} isWide=${true} choose=${choose} />`}
  </main>`;
}

export async function startMapWindow() {
  const of = new URLSearchParams(location.search).get("of") ?? "";
  sessionStorage.clear(); // a window that was opened by another begins with a copy of its drafts
  for (;;) {
    try {
      session.value = await readJson("/api/v1/session");
      await useLanguage(null, session.value.language);
      break;
    } catch {
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
  }
  hear(session.value.now);
  startClock();
  const { led, choose } = follow(of);
  effect(() => { const at = under.state.value.data?.now; if (at) hear(at); });
  effect(() => { document.title = `${t("map.title")} · 12349`; language.value; });
  addEventListener("storage", ({ key, newValue }) => { if (key === "language" && newValue) useLanguage(null, newValue); });
  fill(html`<${Window} led=${led} choose=${choose} /><${Watermark} />`);
}
