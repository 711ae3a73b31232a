// The loudspeaker: puts planned tones on the audio clock, and agrees with other windows of this browser which one sounds.
import { signal } from "@preact/signals";
import { TEST_TONES, plan, silence, wanted } from "./alarm.js";

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

/** Start sounding what `look()` (the arguments of wanted()) asks for. */
export function startSound(look) {
  let memory = silence();
  const isMine = shareBrowser();
  const tick = () => {
    const seen = look();
    if (context === null || context.state !== "running" || !isMine()) return;
    const next = plan(wanted(seen), memory, seen.now);
    memory = next.memory;
    if (next.tones.length) play(next.tones);
  };
  setInterval(tick, TICK_MS);
  return tick;
}

/** One sounding window per browser: the smallest name heard lately sounds, and only windows that can sound speak up. */
function shareBrowser() {
  if (typeof BroadcastChannel === "undefined") return () => true;
  const channel = new BroadcastChannel("sound");
  const name = Math.random();
  const heard = new Map();
  channel.onmessage = ({ data }) => heard.set(data, performance.now());
  setInterval(() => {
    if (context?.state === "running") channel.postMessage(name);
  }, LEASE_MS / 3);
  return () => {
    for (const [other, at] of heard) if (other < name && performance.now() - at < LEASE_MS) return false;
    return true;
  };
}
