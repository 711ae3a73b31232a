// Light or dark: as the system has it, or as somebody has chosen for themselves. Colours are variables of app.css.
import { effect, signal } from "@preact/signals";
import { setting } from "./settings.js";

export const THEMES = ["auto", "light", "dark"];
export const theme = setting("theme", "auto", (value) => THEMES.includes(value));

const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = signal(system.matches);
system.addEventListener("change", () => { isDark.value = system.matches; });

effect(() => {
  document.documentElement.dataset.theme = theme.value === "auto" ? (isDark.value ? "dark" : "light") : theme.value;
});
