// Whom one can ring about the incident, by reference: the page never holds a number it could dial. 1 to 9 ring, 0 hangs up.
import { clockTime } from "../clock.js";
import { dial, hangUp } from "../commands.js";
import { label, t } from "../i18n.js";
import { me, session } from "../store.js";
import { callerText, html } from "../ui.js";
import { detail, loadDetail, openForm, opened } from "../work.js";

const KEYED = 9;

/** Who it is: the elder, the caller, the device, a contact by relation and name, a responder. */
export function refText(ref, data) {
  const [what, number] = (ref ?? "").split(":");
  const one = data?.dial?.find((known) => known.ref === ref);
  if (what === "contact" && one) return [one.relation, one.name].filter(Boolean).join(" ");
  if (what === "responder") return one?.name ?? data?.legs?.find((leg) => leg.responder === number)?.name ?? number;
  if (what === "device") return one?.name ? `${t("dial.device")} ${one.name}` : t("dial.device");
  return t(`dial.${what}`) + (number ? ` ${Number(number) + 1}` : "");
}

const OVER = ["unknown_call", "call_over"]; // what the server says to who hangs up a call that is over
const over = new Set(); // dials that it said so of; of one before a restart of the gateway the timeline has nothing

/** How the newest dial of it stands: {id, outcome, at, isOver, mine}, or null. That a call goes on nobody tells us: only when it was connected. */
function standing(data, ref) {
  const live = data.dialling.find((one) => one.ref === ref);
  if (live) return { id: live.dial, outcome: "ringing", mine: live.by === me.value };
  const said = data.timeline.filter((entry) => entry.kind === "dial" && entry.detail.ref === ref && entry.detail.outcome).at(-1);
  if (!said) return null;
  const id = said.detail.dial;
  const ends = data.timeline.filter((entry) => entry.kind === "hang_up" && entry.detail.dial === id && entry.detail.outcome).map((entry) => entry.detail.outcome);
  const isOver = over.has(id) || ends.includes("unknown_call");
  return { id, outcome: ends.includes("done") ? "hung_up" : said.detail.outcome, at: said.at, isOver, mine: said.actor === me.value };
}

const stateText = (state) => (state.outcome === "done" ? t("dial.connected_at", { at: clockTime(state.at) }) : label("dial_outcome", state.outcome));

const canHangUp = (state) => state?.mine && (state.outcome === "ringing" || (state.outcome === "done" && !state.isOver));
const isElder = (ref) => ref === "caller" || ref.startsWith("person");

async function ring(id, ref) {
  if ((await dial(id, ref)).ok) loadDetail();
}

async function end(id, key) {
  const answer = await hangUp(id, key);
  if (OVER.includes(answer.body.reason)) over.add(key);
  loadDetail();
}

/** What the keys mean for the opened incident: ring the one with this number; without a number hang up what was dialled. */
export function dialKey(number) {
  const id = opened.value;
  const data = detail.value?.id === id ? detail.value.data : null;
  const list = data?.dial ?? [];
  if (number) {
    const one = list[number - 1];
    if (one) ring(id, one.ref);
    return;
  }
  const state = list.map((one) => standing(data, one.ref)).filter(canHangUp).sort((a, b) => (a.outcome === "ringing" ? 1 : 0) - (b.outcome === "ringing" ? 1 : 0) || (a.id < b.id ? -1 : 1)).at(-1);
  if (state) end(id, state.id);
}

export function Dials({ row, data }) {
  const list = data?.dial ?? [];
  if (list.length === 0) return null;
  return html`<section class="dials"><h3>${t("dial.title")} ${!session.value?.extension && html`<span class="quiet small">${t("dial.no_extension")}</span>`}</h3>
    <ol>${list.map((one, i) => {
      const state = standing(data, one.ref);
      const isDue = state?.outcome === "done" && isElder(one.ref) && (row.flags ?? []).includes("call_due");
      return html`<li key=${one.ref}>
        <button class="dial" disabled=${state?.outcome === "ringing"} onClick=${() => ring(row.id, one.ref)}>
          ${i < KEYED && html`<kbd>${i + 1}</kbd>`}<i aria-hidden="true">☎</i> <span class="unseen">${t("dial.ring")}</span> ${refText(one.ref, data)}</button>
        <span class="quiet">${callerText(one.phone)}</span>
        <span class=${`dial-state ${state?.outcome ?? ""}`} role="status">${state ? stateText(state) : ""}</span>
        ${canHangUp(state) && html`<button class="small hang-up" onClick=${() => end(row.id, state.id)}><kbd>0</kbd>${t("dial.hang_up")}</button>`}
        ${isDue && html`<button class="small called-back" onClick=${() => openForm(row.id, "call_back")}><kbd>V</kbd>${t("dial.called_back")}</button>`}
      </li>`;
    })}</ol>
  </section>`;
}
