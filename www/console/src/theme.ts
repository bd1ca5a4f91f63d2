/** `auto` follows the system. */
export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const STORE = "edgeseal-theme";

export function theme(): Theme {
  const stored = localStorage.getItem(STORE);
  return THEMES.find((one) => one === stored) ?? "auto";
}

export function applyTheme(next: Theme = theme()): void {
  if (next === "auto") {
    localStorage.removeItem(STORE);
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem(STORE, next);
    document.documentElement.dataset.theme = next;
  }
}
