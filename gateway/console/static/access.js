// Who is logged in here: log-in, lock, log-out, one's own secrets; the screen that locks by itself, and the end of a session.
import { effect, signal } from "@preact/signals";
import { now } from "./clock.js";
import { belongTo, newKey, post, readSession } from "./commands.js";
import { receive, session, state } from "./store.js";

const IDLE_LOOK_MS = 1000;
const SHARE_MS = 5000; // other windows of this browser hear that often that somebody is there
const AGAIN_MS = 2000;
const LEFT_MS = 10_000; // a socket hears of it within five seconds
export const SOON_MS = 15 * 60_000; // so long before its end a log-in says that it ends

/** The log-in has ended while somebody was on duty here: alarms cannot be heard until somebody logs in. */
export const ended = signal(false);
/** One's own settings are open: null, "own", or "renew" (log in again before the end). */
export const ownShown = signal(null);

let lastSign = performance.now(); // of a person: a key, the pointer
let left = -Infinity; // when somebody logged out on purpose in this browser
let channel = null;
let reconnect = () => undefined;

/** Ask; once more with a fresh session when ours was forgotten. Gives {status, body}; a session that comes back is taken. */
async function ask(path, body) {
  let answer = await post(path, body, newKey());
  if (answer.status === 403 && answer.body.reason === "csrf") {
    await readSession().catch(() => undefined);
    answer = await post(path, body, newKey());
  }
  if (answer.status === 200 && "csrf" in answer.body) session.value = answer.body;
  if (answer.status === 401 && answer.body.reason === "log_in") await look();
  return answer;
}

/** Nothing that this page knew of people is kept for whoever comes next, and everything is read anew with the rights of now. */
function beginAnew() {
  state.rev = 0;
  receive({ reset: true, items: [] });
  reconnect();
}

export async function logIn(login, password, code) {
  const answer = await ask("/api/v1/login", code ? { login, password, code } : { login, password });
  if (answer.status !== 200) return answer;
  ended.value = false;
  left = -Infinity;
  beginAnew();
  tellOthers();
  return answer;
}

export async function logOut() {
  left = performance.now(); // before it is done: sockets close with it, ours and those of other windows
  channel?.postMessage("left");
  const answer = await ask("/api/v1/logout", {});
  sessionStorage.clear();
  ended.value = false;
  ownShown.value = null;
  await readSession().catch(() => undefined);
  beginAnew();
  tellOthers();
  return answer;
}

/** Hide everything at once; the server is told until it has heard. */
export async function lock() {
  if (!session.value?.account || !session.value.own_password && !session.value.pin || session.value.screen_locked) return;
  session.value = { ...session.value, screen_locked: true, locked: true };
  ownShown.value = null;
  for (;;) {
    const answer = await ask("/api/v1/lock", {});
    if (answer.status !== 0 && answer.status !== 503) break;
    session.value = { ...session.value, screen_locked: true, locked: true };
    if (answer.status === 503) break; // locked there as well, and not on record
    await new Promise((done) => setTimeout(done, AGAIN_MS));
  }
  beginAnew();
  tellOthers();
}

export async function unlockScreen(secret) {
  const answer = await ask("/api/v1/unlock", { secret });
  if (answer.status === 200) {
    lastSign = performance.now();
    beginAnew();
    tellOthers();
  }
  return answer;
}

export const changePassword = (old, fresh) => ask("/api/v1/password", { old, new: fresh }).then((answer) => { if (answer.status === 200) beginAnew(); return answer; });
export const changePin = (password, pin) => ask("/api/v1/pin", pin ? { password, pin } : { password });
export const totp = (what, more) => ask("/api/v1/totp", { what, ...more });

/** The server does not know us any more, or knows us otherwise than before: what does it say? */
export async function look() {
  const was = session.value;
  try {
    await readSession();
  } catch {
    return;
  }
  const isGone = session.value.account ? was?.account && was.account.login !== session.value.account.login : performance.now() - left <= LEFT_MS;
  if (isGone) sessionStorage.clear(); // drafts go with the person, in this window, too; a log-in that ended by itself leaves them to the same account
  if (session.value.log_in && was && !was.log_in) {
    ended.value = was.name !== null && performance.now() - left > LEFT_MS;
    ownShown.value = null;
    beginAnew();
  }
}

/** May the feed be asked at all? */
export const mayListen = () => session.value !== null && !session.value.log_in;

function tellOthers() {
  channel?.postMessage("session");
}

/** Watch over hands and time. `again` opens the feed anew. */
export function startAccess(again) {
  reconnect = again;
  if (typeof BroadcastChannel !== "undefined") {
    channel = new BroadcastChannel("access");
    channel.onmessage = ({ data }) => {
      if (data === "sign") lastSign = performance.now();
      else if (data === "left") left = performance.now();
      else look().then(beginAnew);
    };
  }
  let told = -Infinity;
  const sign = () => {
    lastSign = performance.now();
    if (lastSign - told < SHARE_MS) return;
    told = lastSign;
    channel?.postMessage("sign");
  };
  for (const name of ["keydown", "pointerdown", "pointermove", "wheel"]) document.addEventListener(name, sign, { capture: true, passive: true });
  setInterval(() => {
    const idle_s = session.value?.idle_lock_s;
    if (idle_s && !session.value.screen_locked && performance.now() - lastSign >= idle_s * 1000) lock();
    if (session.value?.until && Date.parse(session.value.until) < now()) look(); // by the server's clock
  }, IDLE_LOOK_MS);
  effect(() => {
    if (session.value?.log_in === false) lastSign = performance.now();
    if (session.value?.account) belongTo(session.value.account.login); // also when it was another window that somebody logged in to
  });
}
