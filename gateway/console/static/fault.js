// Why a line is lost, in the reader's words: drivers give the words of the system, these say what it means.
import { t } from "./i18n.js";

const MEANINGS = [
  ["silent", /^silent for|^nothing heard/],
  ["cannot_open", /^cannot (open|listen)|^secret or certificate/],
  ["refused", /^cannot subscribe|refuses the subscription/],
  ["port_closed", /port_closed|^\S*\/dev\//],
  ["connection_lost", /connection.*(lost|closed)|closed the connection/i],
  ["unreachable", /^broker /],
  ["edge_away", /^edge .*does not answer$/],
  ["no_core", /^shard \d+ has no core$/],
  ["ended", /^ended$/],
  ["internal", /^internal error/],
];

/** The name of what the reason means, or null. */
export function meaning(reason) {
  return MEANINGS.find(([, pattern]) => pattern.test(reason ?? ""))?.[0] ?? null;
}

/** Reasons that are words of the gateway already. */
const WORDS = new Set(["overdue", "path_silent", "silent_after_outage", "never_heard", "address_on_other_line", "profile_refused", "profile_off", "no_ears"]);

/** Is it one of these: nothing that the system has said, so there is nothing to show beside our words? */
export const isWord = (reason) => WORDS.has(reason);

/** The reason in words; one that is not known as it came. */
export function faultText(reason) {
  const name = WORDS.has(reason) ? reason : meaning(reason);
  return name ? t(`fault.${name}`) : reason ?? "";
}
