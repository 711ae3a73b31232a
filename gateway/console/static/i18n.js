// Words in the reader's language. Keys are dotted; enum values from the server are the last part of a key.
import { signal } from "@preact/signals";

export const LANGUAGES = ["zh-CN", "en"];
export const language = signal("");
const words = signal({});

function remembered() {
  try {
    return localStorage.getItem("language");
  } catch {
    return null; // storage may be forbidden; the choice is then for this page only
  }
}

/** Load a language and show it. Falls back to the remembered one, then to what the server proposes. */
export async function useLanguage(wanted, proposed = "zh-CN") {
  const name = [wanted, remembered(), proposed].find((candidate) => LANGUAGES.includes(candidate)) ?? "zh-CN";
  const answer = await fetch(`/static/lang/${name}.json`);
  words.value = await answer.json();
  language.value = name;
  document.documentElement.lang = name;
  if (wanted) {
    try {
      localStorage.setItem("language", name);
    } catch {
      // as above
    }
  }
}

/** The text for a key; {name} is filled from `facts`. A missing key shows itself. */
export function t(key, facts) {
  const text = words.value[key] ?? key;
  return facts ? text.replace(/\{(\w+)\}/g, (_, name) => String(facts[name] ?? "")) : text;
}

/** The label of an enum value, the value itself when there is none. */
export function label(group, value) {
  if (value === null || value === undefined || value === "") return "";
  const [code, what] = String(value).split(": ", 2); // a reason may name what it is about: "edge_silent: north/pbx"
  const known = words.value[`${group}.${code}`];
  return known === undefined ? String(value) : what === undefined ? known : `${known}: ${what}`;
}

/** The label of a reason, whatever the server gave: known ones are translated, others shown as they are. */
export function reasonText(facts) {
  const latest = facts.latest ? "_latest" : ""; // a time that is too late, and which would do
  const key = words.value[`reason.${facts.reason}${latest}`] ? `reason.${facts.reason}${latest}` : `reason.${facts.reason}`;
  return words.value[key] ? t(key, facts) : t("reason.other", { reason: facts.reason ?? "" });
}
