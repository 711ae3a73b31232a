// What is fetched when it is first wanted: whoever sits at the queue does not load the views beside it. What every key at the queue may need at once,
// forms above all, is never fetched so late: what is typed meanwhile would be taken for commands.
import { useEffect, useState } from "preact/hooks";
import { notice } from "./commands.js";
import { t } from "./i18n.js";
import { html } from "./ui.js";

/** A view out of a module: `load` imports it, `name` is what it is called there. */
export function laterView(load, name) {
  let Loaded = null;
  return function Later(props) {
    const [state, setState] = useState("");
    const fetchIt = async () => {
      setState("");
      try {
        Loaded = (await load())[name];
        setState("there");
      } catch {
        setState("failed");
      }
    };
    useEffect(() => { if (!Loaded) fetchIt(); }, []);
    if (Loaded) return html`<${Loaded} ...${props} />`;
    if (state !== "failed") return html`<main class="ops" tabindex="-1"><p class="nothing-here">${t("app.loading")}</p></main>`;
    return html`<main class="ops" tabindex="-1"><p class="nothing-here error" role="alert">${t("reason.no_answer")}</p>
      <p class="nothing-here"><button onClick=${fetchIt}>${t("view.again")}</button></p></main>`;
  };
}

/** A function out of a module, called when that is there; says so when it does not come. */
export function later(load, name) {
  return async (...given) => {
    let found;
    try {
      found = (await load())[name];
    } catch {
      return notice(() => t("reason.no_answer"), "warning");
    }
    return found(...given);
  };
}
