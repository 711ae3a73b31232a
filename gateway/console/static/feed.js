// The live feed: one number (`rev`) is all that must be kept to resume. Frames alone prove that the link lives:
// a silent link leaves the socket open, so a watchdog listens for frames. A socket that closes is told at once.
import { signal } from "@preact/signals";
import { hear, now } from "./clock.js";

export const SILENT_MS = 12_000; // two and a half heartbeats of 5 s
const RETRY_MS = [500, 10_000]; // doubling, with jitter
const POLL_MS = 3_000;
const POLL_AFTER = 2; // failures of the socket before polling
const LOST_AFTER = 2; // attempts to come back that failed, with polling failing as well: it is no hiccup
const CHANGES_TIMEOUT_MS = 5_000;

/** {state: connecting | live | reconnecting | polling | lost, at: server milliseconds of the last frame}. */
export const link = signal({ state: "connecting", at: 0 });

const STRANGER = 4401; // the server's word for: log in
const ASK_AGAIN_MS = 500;

/**
 * Start. `state` holds epoch and rev; `receive(frame)` applies one. Returns {send(object), again()}: again opens it anew, with the rights of now.
 * mayListen: is anybody logged in? onStranger: the server does not know us (any more).
 */
export function startFeed(state, receive, { mayListen = () => true, onStranger = () => undefined } = {}) {
  let socket = null;
  let heard = performance.now();
  let opened = heard;
  let failures = 0;
  let waiting = [];
  let isFlushing = false;

  // One flush per animation frame; a hidden page gets no animation frames, but must still hear alarms.
  function take(frame) {
    heard = performance.now();
    if (frame.now) hear(frame.now);
    if (frame.items || frame.gone || frame.reset) {
      waiting.push(frame);
      if (!isFlushing) {
        isFlushing = true;
        let done = false;
        const once = () => {
          if (done) return;
          done = true;
          flush();
        };
        requestAnimationFrame(once);
        setTimeout(once, 250);
      }
    }
  }

  function flush() {
    isFlushing = false;
    const frames = waiting;
    waiting = [];
    for (const frame of frames) receive(frame);
  }

  function show(name) {
    const at = name === "live" || name === "polling" ? now() : link.value.at;
    if (link.value.state !== name || at - link.value.at >= 500) link.value = { state: name, at };
  }

  function connect() {
    if (!mayListen()) {
      heard = performance.now(); // nobody is here who could miss anything
      setTimeout(connect, ASK_AGAIN_MS);
      return;
    }
    flush();
    const address = new URL("/api/v1/feed", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.search = new URLSearchParams({ since: state.rev, epoch: state.epoch });
    const mine = new WebSocket(address);
    socket = mine;
    opened = performance.now();
    mine.onmessage = ({ data }) => {
      if (socket !== mine) return;
      failures = 0;
      take(JSON.parse(data));
      show("live");
    };
    mine.onclose = ({ code }) => {
      if (socket !== mine) return;
      if (code === STRANGER) Promise.resolve(onStranger()).finally(() => { if (socket === mine) again(); });
      else lose();
    };
  }

  function again() {
    const old = socket;
    socket = null;
    old?.close();
    if (old) setTimeout(connect, 0); // else it is being tried already
  }

  function lose() {
    const old = socket;
    socket = null;
    old?.close();
    failures += 1; // the first is the loss itself, each further one an attempt
    if (failures > LOST_AFTER && link.value.state !== "polling") show("lost");
    else if (link.value.state === "live") show("reconnecting");
    if (failures === POLL_AFTER) poll();
    const wait = Math.min(RETRY_MS[1], RETRY_MS[0] * 2 ** (failures - 1)) * (0.75 + Math.random() / 2);
    setTimeout(connect, wait);
  }

  async function poll() {
    if (failures < POLL_AFTER || !mayListen()) return;
    try {
      flush();
      const answer = await fetch(`/api/v1/changes?${new URLSearchParams({ since: state.rev, epoch: state.epoch })}`, { signal: AbortSignal.timeout(CHANGES_TIMEOUT_MS) });
      if (answer.status === 401) return void onStranger();
      if (!answer.ok || link.value.state === "live") return;
      take(await answer.json());
      show("polling");
    } catch {
      if (link.value.state === "polling") show("reconnecting"); // the next failure of the socket, or the watchdog, says lost
    }
  }

  setInterval(() => {
    if (mayListen() && performance.now() - heard > SILENT_MS) show("lost");
    if (socket && performance.now() - Math.max(heard, opened) > SILENT_MS) lose(); // open or opening: silent is silent
  }, 1000);
  setInterval(poll, POLL_MS);
  connect();
  return {
    again,
    send(message) {
      if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
    },
  };
}
