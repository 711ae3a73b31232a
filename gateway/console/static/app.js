// The operator's page: puts the parts together and hands the keys to them.
import { computed, effect, untracked } from "@preact/signals";
import { lock, look, mayListen, ownShown, startAccess } from "./access.js";
import { answerNext, askWho, isJustSwapped, popScreens } from "./answering.js";
import { startClock } from "./clock.js";
import { acknowledge, notice, readSession, release, send, shown } from "./commands.js";
import { link, startFeed } from "./feed.js";
import { heard, hearNow, hushNow, isCounting } from "./hush.js";
import { label, language, t, useLanguage } from "./i18n.js";
import { focusOf, keyAction } from "./keys.js";
import { laterView } from "./later.js";
import { bulk, clearMarks, forgetMerger, lastMergedInto, marked, startBulk, toggleMark } from "./marks.js";
import { letters } from "./settings.js";
import { startSound, sound, unlock } from "./sound.js";
import { LEVELS, counts, isTold, me, queueCounter, receive, role, rowOf, rows, session, state } from "./store.js";
import { fill, html } from "./ui.js";
import { closeForm, cursor, detail, focusIncident, focusQueue, form, helpShown, menuShown, open, opened, reachable, restore, startWork, view } from "./work.js";
import { Announcements, focusAnnouncements } from "./views/announcements.js";
import { Bar, Ringing, districtName } from "./views/bar.js";
import { dialKey } from "./views/dial.js";
import { Bulk, closeBulk } from "./views/bulk.js";
import { Duty } from "./views/duty.js";
import { Help } from "./views/help.js";
import { Incident, actionsOf, perform } from "./views/incident.js";
import { Lock } from "./views/lock.js";
import { FirstPassword, Login } from "./views/login.js";
import { MapPane, showMapWindow, startMapLink } from "./views/map.js";
import { Panes } from "./views/panes.js";
import { nextStep } from "./views/plan.js";
import { Queue, isInSight, moveCursor, nextWaiting, openCursor } from "./views/queue.js";
import { Responders } from "./views/responders.js";
import { Watermark } from "./views/watermark.js";

const EARS_MS = 20_000; // the server forgets a sounding console after 45 s
const START_AGAIN_MS = 2000;
const ANNOUNCE_MS = 10_000; // one spoken line at most every ten seconds
const AFTER_MS = 2000; // G and then D, within so long
const TWICE_MS = 500; // F2 pressed again so soon is the same press: nobody has read which incident it would take
const DESK = ["operator", "supervisor"]; // who handles incidents, after coming on duty
/** Every view: what it shows, and whose it is; `local` (no accounts) may see all. A view needs its row here, in keys.js and the word `view.<name>`. */
const VIEWS = {
  queue: [Desk, DESK],
  requests: [laterView(() => import("./views/requests.js"), "Requests"), DESK],
  watch: [laterView(() => import("./views/watch.js"), "Watch"), DESK],
  devices: [laterView(() => import("./views/devices.js"), "Devices"), [...DESK, "ops"]],
  providers: [laterView(() => import("./views/providers.js"), "Providers"), DESK],
  aid: [laterView(() => import("./views/aid.js"), "Aid"), DESK],
  register: [laterView(() => import("./views/register.js"), "Register"), DESK],
  risks: [laterView(() => import("./views/risks.js"), "Risks"), ["supervisor", "ops"]],
  levels: [laterView(() => import("./views/levels.js"), "Levels"), [...DESK, "ops", "auditor", "citizen"]],
  outcomes: [laterView(() => import("./views/outcomes.js"), "Outcomes"), ["supervisor", "auditor", "citizen"]],
  shift: [laterView(() => import("./views/shift.js"), "Shift"), DESK],
  supervisor: [laterView(() => import("./views/supervisor.js"), "Supervisor"), ["supervisor"]],
  history: [laterView(() => import("./views/history.js"), "History"), DESK],
  audit: [laterView(() => import("./views/audit.js"), "Audit"), ["auditor"]],
  accounts: [laterView(() => import("./views/accounts.js"), "Accounts"), ["admin"]],
  wall: [laterView(() => import("./views/wall.js"), "Wall"), [...DESK, "ops", "wall"]],
};
/** Where a role begins; everybody else at the queue, or at the first view they have. */
const STARTS = { ops: "devices", admin: "accounts", auditor: "audit", wall: "wall", citizen: "outcomes" };
/** What stands before every view, the first that applies: [applies(session), what it shows]. */
const GATES = [
  [(now) => now.log_in, Login],
  [(now) => now.screen_locked, Lock],
  [(now) => now.must_change, FirstPassword],
  [() => isOnDesk() && me.value === null, Duty],
];
const Own = laterView(() => import("./views/own.js"), "Own");
const MOVES = new Set(["up", "down", "first", "last", "page_up", "page_down"]);
const ALWAYS = new Set(["take_next", "map", "help", "back", "hush", "submit", "go", "notices", "lock"]); // what may be done without the queue in sight

/** Does this role sit at the queue? */
const isOnDesk = () => role.value === "local" || DESK.includes(role.value);
const mayDo = () => session.value !== null && !GATES.some(([applies]) => applies(session.value));

function Desk() {
  return html`<${Panes} left=${html`<${Queue} />`} middle=${bulk.value ? html`<${Bulk} />` : html`<${Incident} />`} right=${html`<div class="side"><${MapPane} /><${Responders} /></div>`} />`;
}

function App() {
  if (!session.value) return html`<main class="duty"><p>${t("app.loading")}</p></main>`;
  const gate = GATES.find(([applies]) => applies(session.value));
  if (gate) return html`<${gate[1]} />`;
  const Shown = VIEWS[view.value]?.[0] ?? Nothing;
  if (view.value === "wall") return html`<${Shown} />${helpShown.value && html`<${Help} />`}`; // the whole screen, without the names of the bar
  return html`
    <${Bar} />
    <${Ringing} />
    <${Shown} />
    <${Watermark} />
    <${Announcements} />
    ${helpShown.value && html`<${Help} />`}
    ${ownShown.value && html`<${Own} key=${ownShown.value} />`}`;
}

/** A role whose views are not built in. */
function Nothing() {
  return html`<main class="ops" tabindex="-1"><p class="nothing-here">${t("view.none")}</p></main>`;
}

/** Which views there are for the one who is here; another person begins at the start of his role. */
function followRole() {
  effect(() => {
    const mine = Object.keys(VIEWS).filter((name) => role.value === "local" || VIEWS[name][1].includes(role.value));
    reachable.value = mine;
    const start = STARTS[role.value] ?? "queue";
    const isNobody = me.value === null && isOnDesk(); // whoever comes on duty next begins at the beginning
    if (isNobody || !mine.includes(view.peek())) view.value = mine.includes(start) ? start : mine[0] ?? start;
  });
}

/** The incident that a key means: the row under the cursor while the queue has the focus, else the one opened. Never one that is out of sight. */
function subject(target) {
  const inIncident = Boolean(target?.closest?.(".incident, .responders, .map-pane"));
  const id = inIncident ? opened.value ?? cursor.value : cursor.value ?? opened.value;
  return id === null || (id !== opened.value && !isInSight(id)) ? null : rowOf(id);
}

/** The detail of an incident, if it is the one that is open. */
const dataOf = (row) => (detail.value?.id === row.id ? detail.value.data : null);

function act(action, target) {
  const row = subject(target);
  switch (action) {
    case "take_next": {
      if (answerNext()) return undefined;
      const next = nextWaiting();
      if (!next) return notice(() => t(isTold.value ? "notice.none_waiting" : "app.loading"));
      const isAtQueue = view.value === "queue";
      open(next.id);
      if (isAtQueue) focusIncident();
      else focusWhenThere(focusIncident);
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
    case "mark":
      return row && view.value === "queue" ? toggleMark(row.id) : undefined;
    case "clear_marks":
      return clearMarks();
    case "bulk_acknowledge":
    case "bulk_assign":
      return startBulk(action.slice(5));
    case "identify":
      if (row && !askWho(row.id)) notice(() => `${row.id} ${t("reason.is_identified")}`, "warning");
      return undefined;
    case "dispatch":
    case "assign":
    case "shelve":
    case "note":
    case "escalate":
    case "hand_over":
    case "resolve":
    case "call_back":
    case "complain":
    case "handle":
    case "waive":
    case "hold":
    case "merge":
    case "unmerge":
    case "split":
    case "cancel":
    case "reveal": {
      if (action === "merge" && marked.value.length > 1) return startBulk("merge");
      if (!row) return undefined;
      if (action === "unmerge" && row.state !== "closed") return undoMerger(row.id);
      if (action === "hold" && dataOf(row)?.incident.held_until) return perform(row.id, "resume");
      if (action === "shelve" && row.shelf) return perform(row.id, "unshelve");
      const can = actionsOf(shown(row), dataOf(row)).find(([name]) => name === action)?.[2]; // as it stands on the screen, also while its taking is under way
      if (!can) refused = performance.now();
      if (!can && action === "hand_over" && row.state === "acknowledged") return notice(() => `${row.id} ${t("reason.not_owner")}`, "warning");
      if (!can) return notice(() => `${row.id} ${t("notice.not_now", { action: t(`action.${action}`), state: t(`state.${row.state}`) })}`, "warning");
      return perform(row.id, action);
    }
    case "open":
      return openCursor();
    case "map":
      return isOnDesk() ? showMapWindow() : undefined;
    case "hang_up":
      return dialKey(0);
    case "notices":
      return focusAnnouncements();
    case "hush":
      hushNow();
      return notice(() => t("notice.hushed"));
    case "lock":
      return lock();
    case "search":
      return document.getElementById("search")?.focus();
    case "help":
      helpShown.value = !helpShown.value;
      return undefined;
    case "submit":
      return (target?.closest?.("form") ?? document.querySelector("form.work"))?.requestSubmit();
    case "back":
      return back(target);
    default:
      if (action in VIEWS) return reachable.value.includes(action) ? show(action) : undefined;
      if (action.startsWith("dial_")) return dialKey(Number(action.slice(5)));
      return MOVES.has(action) ? moveCursor(action) : undefined;
  }
}

/** Take the last one out again that was put into this one here. */
async function undoMerger(id) {
  const last = lastMergedInto(id);
  if (last === null) return notice(() => `${id} ${t("reason.not_merged")}`, "warning");
  const answer = await send(last, "unmerge");
  if (answer.ok) {
    forgetMerger(last);
    notice(() => t("notice.done", { id: last, action: label("action", "unmerge") }));
  }
  return undefined;
}

/** Change to another view; the incident that is open stays open. */
function show(name) {
  menuShown.value = false;
  view.value = name;
  if (name === "queue") focusWhenThere(focusQueue);
}

/** After the view has changed: unless a form has taken the focus already. */
function focusWhenThere(focus) {
  requestAnimationFrame(() => { if (document.activeElement === document.body) focus(); });
}

/** Esc: close the topmost thing; drafts are kept. */
function back(target) {
  if (helpShown.value) {
    helpShown.value = false;
  } else if (menuShown.value) {
    menuShown.value = false;
  } else if (form.value && view.value === "requests" && target?.closest?.(".incident")) {
    closeForm();
    focusIncident();
  } else if (view.value !== "queue") {
    show(reachable.value.includes("queue") ? "queue" : STARTS[role.value] ?? view.value);
  } else if (bulk.value) {
    closeBulk();
  } else if (target?.id === "search") {
    focusQueue();
  } else if (form.value) {
    closeForm();
    focusIncident();
  } else {
    focusQueue();
  }
}

let before = null; // the first of two keys that belong together
let tookNext = -Infinity;
let refused = -Infinity; // when a key could not open its form

function onKeyDown(event) {
  if (!mayDo()) return;
  if (sound.value !== "running") unlock(); // after a reload any key lets us sound again
  const after = before !== null && event.timeStamp - before.at < AFTER_MS ? before.code : null; // by the hand's time: a page that is slow loses no key
  const action = keyAction(event, focusOf(event.target), after, letters.value);
  before = null;
  if (ownShown.value && action === "back") {
    ownShown.value = null;
    return;
  }
  if (action === null || ownShown.value || (helpShown.value && action !== "back" && action !== "help")) return;
  const isAtRequest = view.value === "requests" && Boolean(event.target?.closest?.(".incident"));
  if (view.value !== "queue" && !isAtRequest && !ALWAYS.has(action) && !(action in VIEWS)) return; // nothing is done to an incident that is out of sight
  event.preventDefault();
  if (action === "take_next") {
    const isTwice = performance.now() - tookNext < TWICE_MS;
    tookNext = performance.now();
    if (isTwice) return;
  }
  if (isJustSwapped() && !ALWAYS.has(action) && !MOVES.has(action) && !(action in VIEWS)) return; // meant for the incident that was here
  if (action.startsWith("dial_") && performance.now() - refused < AFTER_MS) return; // meant for the form that did not open: it must ring nobody
  if (action === "go") before = { code: event.code, at: event.timeStamp };
  else act(action, event.target);
}

/** How many are open and how many of each level wait; from the counters where rows are hidden, as their number would say that nothing is open. */
function standing() {
  if (!isCounting.value) return counts.value;
  const counter = queueCounter.value ?? {};
  const raised = Object.fromEntries(LEVELS.map((level) => [level, counter.raised?.[level]?.count ?? 0]));
  return { open: LEVELS.reduce((sum, level) => sum + (counter[level] ?? 0), 0), raised };
}

/** For those who listen: one line of counts, at most every ten seconds and never an old one; and a new level 1 at once. */
function announce() {
  let last = -Infinity;
  let timer = null;
  let critical = 0;
  const status = document.getElementById("status");
  const alert = document.getElementById("alert");
  const line = computed(() => {
    const { open, raised } = standing();
    return t("announce.open", { n: open, raised: Object.values(raised).reduce((a, b) => a + b, 0) });
  });
  const say = () => {
    clearTimeout(timer);
    timer = null;
    last = performance.now();
    status.textContent = line.value;
  };
  let spoken = language.value;
  effect(() => {
    const isOther = language.value !== spoken;
    spoken = language.value;
    if (line.value === status.textContent || state.rev === 0) return; // nothing is known yet: no zero is said
    if (isOther || performance.now() - last >= ANNOUNCE_MS) say();
    else timer ??= setTimeout(say, ANNOUNCE_MS - (performance.now() - last));
  });
  effect(() => {
    const now = standing().raised.critical;
    const text = t("announce.critical", { n: now });
    if (now === 0) alert.textContent = "";
    else if (now > critical || alert.textContent !== "") alert.textContent = text;
    critical = now;
  });
}

/** What this console looks at or edits, told when it changes, and again before the server forgets it. */
function tellPresence(feed) {
  let said = "";
  const seen = computed(() => {
    const id = view.value === "queue" || view.value === "requests" ? opened.value : null;
    return JSON.stringify({ view: id, mode: id !== null && form.value?.incident === id ? "edit" : "look" });
  });
  const tell = () => { if (me.value !== null) feed.send(JSON.parse(seen.value)); };
  const isLive = computed(() => link.value.state === "live");
  effect(() => {
    if (!isLive.value || me.value === null) said = "";
    else if (seen.value !== said) {
      said = seen.value;
      untracked(tell);
    }
  });
  every(EARS_MS, tell);
}

/** Do it that often; what the server says moves it, for timers of a hidden page come once a minute, later than the server forgets. */
function every(ms, what) {
  let last = performance.now();
  effect(() => {
    link.value;
    if (performance.now() - last < ms) return;
    last = performance.now();
    untracked(what);
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
  followRole();
  const feed = startFeed(state, receive, { mayListen, onStranger: look });
  startAccess(feed.again);
  let epoch = state.epoch;
  effect(() => {
    rows.value;
    if (epoch !== "" && state.epoch !== epoch) readSession().catch(() => undefined); // the server was started again
    epoch = state.epoch;
  });
  startWork();
  popScreens();
  startMapLink();
  const listen = startSound(hearNow);
  effect(() => { link.value; heard.value; untracked(listen); }); // what the server says moves it: timers of a hidden page hardly do
  tellPresence(feed);
  const tellEars = () => { if (sound.value === "running" && me.value !== null) feed.send({ ears: true }); };
  const linkState = computed(() => link.value.state);
  effect(() => { if (linkState.value === "live") tellEars(); });
  every(EARS_MS, tellEars);
  effect(() => { document.title = `${t("bar.title")} · ${districtName()}`; language.value; });
  document.addEventListener("keydown", onKeyDown);
  document.addEventListener("pointerdown", () => { if (me.value !== null && sound.value !== "running") unlock(); });
  fill(html`<${App} />`);
  announce();
  focusQueue();
}

if (new URLSearchParams(location.search).get("view") === "map") import("./views/map_window.js").then(({ startMapWindow }) => startMapWindow());
else start();
