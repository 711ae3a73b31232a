// The operator's page: puts the parts together and hands the keys to them.
import { computed, effect } from "@preact/signals";
import { render } from "preact";
import { now, startClock } from "./clock.js";
import { acknowledge, notice, readSession, release } from "./commands.js";
import { link, startFeed } from "./feed.js";
import { hushNow, quiet } from "./hush.js";
import { language, t, useLanguage } from "./i18n.js";
import { focusOf, keyAction } from "./keys.js";
import { startSound, sound, unlock } from "./sound.js";
import { calls, counts, me, receive, rows, session, state } from "./store.js";
import { html } from "./ui.js";
import { closeForm, cursor, focusIncident, focusQueue, form, helpShown, open, openForm, opened, restore, startWork } from "./work.js";
import { Bar, Ringing, districtName } from "./views/bar.js";
import { dialKey } from "./views/dial.js";
import { Duty } from "./views/duty.js";
import { Help } from "./views/help.js";
import { Incident, actionsOf, nextStep } from "./views/incident.js";
import { Panes } from "./views/panes.js";
import { Queue, moveCursor, nextWaiting, openCursor } from "./views/queue.js";
import { Responders } from "./views/responders.js";

const EARS_MS = 20_000; // the server forgets a sounding console after 45 s
const START_AGAIN_MS = 2000;
const ANNOUNCE_MS = 10_000; // one spoken line at most every ten seconds

function App() {
  if (!session.value) return html`<main class="duty"><p>${t("app.loading")}</p></main>`;
  if (me.value === null) return html`<${Duty} />`;
  return html`
    <${Bar} />
    <${Ringing} />
    <${Panes} left=${html`<${Queue} />`} middle=${html`<${Incident} />`} right=${html`<${Responders} />`} />
    ${helpShown.value && html`<${Help} />`}`;
}

/** The incident that a key means: the row under the cursor while the queue has the focus, else the one opened. */
function subject(target) {
  const inIncident = Boolean(target?.closest?.(".incident, .responders"));
  const id = inIncident ? opened.value ?? cursor.value : cursor.value ?? opened.value;
  return id === null ? null : state.incidents.get(id) ?? null;
}

function act(action, target) {
  const row = subject(target);
  switch (action) {
    case "take_next": {
      const next = nextWaiting();
      if (!next) return notice(() => t("notice.none_waiting"));
      open(next.id);
      focusIncident();
      return acknowledge(next.id);
    }
    case "acknowledge":
      if (!row) return undefined;
      open(row.id);
      return acknowledge(row.id);
    case "release":
      return row ? release(row.id) : undefined;
    case "step":
      if (!row) return undefined;
      if (opened.value !== row.id) return open(row.id);
      return nextStep();
    case "dispatch":
    case "note":
    case "escalate":
    case "hand_over":
    case "resolve":
    case "call_back":
    case "complain":
    case "reveal": {
      if (!row) return undefined;
      const can = actionsOf(row).find(([name]) => name === action)?.[2];
      if (!can && action === "hand_over" && row.state === "acknowledged") return notice(() => `${row.id} ${t("reason.not_owner")}`, "warning");
      if (!can) return notice(() => `${row.id} ${t("notice.not_now", { action: t(`action.${action}`), state: t(`state.${row.state}`) })}`, "warning");
      return openForm(row.id, action);
    }
    case "open":
      return openCursor();
    case "hang_up":
      return dialKey(0);
    case "hush":
      hushNow();
      return notice(() => t("notice.hushed"));
    case "search":
      return document.getElementById("search")?.focus();
    case "help":
      helpShown.value = !helpShown.value;
      return undefined;
    case "submit":
      return target?.closest?.("form")?.requestSubmit() ?? document.querySelector("form.work")?.requestSubmit();
    case "back":
      return back(target);
    default:
      return action.startsWith("dial_") ? dialKey(Number(action.slice(5))) : moveCursor(action);
  }
}

/** Esc: close the topmost thing; drafts are kept. */
function back(target) {
  if (helpShown.value) {
    helpShown.value = false;
  } else if (target?.id === "search") {
    focusQueue();
  } else if (form.value) {
    closeForm();
    focusIncident();
  } else {
    focusQueue();
  }
}

function onKeyDown(event) {
  if (sound.value !== "running" && me.value !== null) unlock(); // after a reload any key lets us sound again
  if (me.value === null) return;
  const action = keyAction(event, focusOf(event.target));
  if (action === null || (helpShown.value && action !== "back" && action !== "help")) return;
  event.preventDefault();
  act(action, event.target);
}

/** For those who listen: one line of counts, and a new level 1 at once. */
function announce() {
  let last = -Infinity;
  let critical = 0;
  const status = document.getElementById("status");
  const alert = document.getElementById("alert");
  effect(() => {
    const now = counts.value;
    if (now.raised.critical > critical) alert.textContent = t("announce.critical", { n: now.raised.critical });
    critical = now.raised.critical;
    if (performance.now() - last >= ANNOUNCE_MS) {
      last = performance.now();
      status.textContent = t("announce.open", { n: now.open, raised: Object.values(now.raised).reduce((a, b) => a + b, 0) });
    }
  });
}

const TALKING = new Set(["call_answered", "call_transferred"]);

/** A call answered at one's own desk opens its record, once; whoever is writing is not disturbed, the call in the bar leads there. */
function popScreens() {
  let popped = new Set();
  effect(() => {
    const mine = calls.value.filter((call) => TALKING.has(call.state) && call.incident && call.operator && call.operator === me.value);
    const next = mine.find((call) => !popped.has(call.id));
    popped = new Set(mine.map((call) => call.id));
    if (next && form.peek() === null) open(next.incident);
  });
}

async function start() {
  for (;;) {
    try {
      await readSession();
      await useLanguage(null, session.value.language);
      break;
    } catch {
      await new Promise((done) => setTimeout(done, START_AGAIN_MS)); // the server was stopped in between
    }
  }
  startClock();
  restore();
  const feed = startFeed(state, receive);
  let epoch = state.epoch;
  effect(() => {
    rows.value;
    if (epoch !== "" && state.epoch !== epoch) readSession().catch(() => undefined); // the server was started again
    epoch = state.epoch;
  });
  startWork();
  popScreens();
  startSound(() => ({ incidents: me.value === null ? [] : rows.value, linkLost: link.value.state === "lost" && me.value !== null, hush: quiet.value, now: now() }));
  const tellEars = () => { if (sound.value === "running" && me.value !== null) feed.send({ ears: true }); };
  const linkState = computed(() => link.value.state);
  effect(() => { if (linkState.value === "live") tellEars(); });
  setInterval(tellEars, EARS_MS);
  effect(() => { document.title = `${t("bar.title")} · ${districtName()}`; language.value; });
  document.addEventListener("keydown", onKeyDown);
  document.addEventListener("pointerdown", () => { if (me.value !== null && sound.value !== "running") unlock(); });
  render(html`<${App} />`, document.getElementById("app"));
  announce();
  focusQueue();
}

start();
