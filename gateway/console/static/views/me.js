// Who is here, in the bar: the way to one's own account.
import { SOON_MS, ownShown } from "../access.js";
import { clockTime, second } from "../clock.js";
import { t } from "../i18n.js";
import { session } from "../store.js";
import { html } from "../ui.js";

/** The name in the bar; before the end of the log-in also how long it lasts. */
export function Me() {
  const { name, account, until } = session.value;
  const left = until ? Date.parse(until) - second.value : Infinity;
  if (!account?.login) return html`<span class="me" title=${t("duty.unverified")}>${name}</span>`;
  return html`${left < SOON_MS && html`<button class="ends" onClick=${() => { ownShown.value = "renew"; }}>${t("own.ends", { at: clockTime(until) })}</button>`}
    <button class="me" title=${t("own.title")} aria-haspopup="dialog" onClick=${() => { ownShown.value = "own"; }}>${account.name}</button>`;
}
