// The loudspeaker: puts planned tones on the audio clock, and agrees with other windows of this browser which one sounds.
import { signal } from "@preact/signals";
import { TEST_TONES, isOurs, plan, silence } from "./alarm.js";

const TICK_MS = 500;
const LEASE_MS = 3000; // a window not heard for this long no longer counts: when in doubt, all sound
const VOLUME = 0.25;

/** "off" (never unlocked), "running", or "blocked" (the browser does not let us sound). */
export const sound = signal("off");

let context = null;

/** Must be called from a key press or click. */
export async function unlock(test = false) {
  context ??= new AudioContext();
  context.onstatechange = read;
  if (context.state !== "running") await Promise.race([context.resume(), new Promise((done) => setTimeout(done, 1000))]);
  read();
  if (test && context.state === "running") play(TEST_TONES);
}

function read() {
  sound.value = context === null ? "off" : context.state === "running" ? "running" : "blocked";
}

function play(tones) {
  for (const tone of tones) {
    const start = context.currentTime + 0.05 + tone.at;
    for (let harmonic = 1; harmonic <= tone.harmonics; harmonic += 1) {
      const voice = context.createOscillator();
      const volume = context.createGain();
      voice.frequency.value = tone.hz * harmonic;
      volume.gain.setValueAtTime(0, start);
      volume.gain.linearRampToValueAtTime((tone.gain * VOLUME) / harmonic, start + 0.02);
      volume.gain.setValueAtTime((tone.gain * VOLUME) / harmonic, start + tone.length - 0.03);
      volume.gain.linearRampToValueAtTime(0, start + tone.length);
      voice.connect(volume).connect(context.destination);
      voice.start(start);
      voice.stop(start + tone.length + 0.02);
    }
  }
}

/**
 * Start sounding what `look()` asks for: {want: as of wanted(), now, volume}. Gives the function that looks once: call it whenever
 * something is heard of the server, as a hidden page's timers come once a minute at worst, and its socket's messages at once.
 */
export function startSound(look) {
  let memory = silence();
  const isMine = shareBrowser();
  const tick = () => {
    const { want, now, volume } = look();
    if (context === null || context.state !== "running" || !isMine(want)) return;
    const next = plan(want, memory, now, volume);
    memory = next.memory;
    if (next.tones.length) play(next.tones);
  };
  setInterval(tick, TICK_MS);
  return tick;
}

/** One sounding window per browser: windows that can sound say what they would, and the rule is isOurs(). */
function shareBrowser() {
  if (typeof BroadcastChannel === "undefined") return () => true;
  const channel = new BroadcastChannel("sound");
  const name = Math.random();
  const heard = new Map();
  let mine = { level: 0, link: false };
  channel.onmessage = ({ data }) => heard.set(data.name, { ...data, at: performance.now() });
  const tell = () => { if (context?.state === "running") channel.postMessage({ name, ...mine }); };
  setInterval(tell, LEASE_MS / 3);
  return (want) => {
    if (want.level !== mine.level || want.link !== mine.link) {
      mine = { level: want.level, link: want.link };
      tell();
    }
    for (const [other, { at }] of heard) if (performance.now() - at >= LEASE_MS) heard.delete(other);
    return isOurs(want, name, [...heard]);
  };
}
