// Why a line is lost, in the reader's words: drivers give the words of the system, these say what it means.
import { t } from "./i18n.js";

const MEANINGS = [
  ["silent", /^silent for|^nothing heard/],
  ["cannot_open", /^cannot (open|listen)|^secret or certificate/],
  ["refused", /^cannot subscribe|refuses the subscription/],
  ["port_closed", /port_closed|^\S*\/dev\//],
  ["connection_lost", /connection.*(lost|closed)|closed the connection/i],
  ["unreachable", /^broker /],
  ["ended", /^ended$/],
  ["internal", /^internal error/],
];

/** The name of what the reason means, or null. */
export function meaning(reason) {
  return MEANINGS.find(([, pattern]) => pattern.test(reason ?? ""))?.[0] ?? null;
}

/** The reason in words; one that is not known as it came. */
export function faultText(reason) {
  const name = meaning(reason);
  return name ? t(`fault.${name}`) : reason ?? "";
}
