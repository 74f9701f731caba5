import { useSyncExternalStore } from "react";

export type Theme = "light" | "dark" | "system";

const KEPT = "console.theme";
const THEMES: readonly Theme[] = ["light", "dark", "system"];
const asked = new Set<() => void>();
const isDark = matchMedia("(prefers-color-scheme: dark)");

export function theme(): Theme {
  const kept = localStorage.getItem(KEPT) as Theme | null;
  return kept && THEMES.includes(kept) ? kept : "system";
}

export function startTheme(): void {
  show(theme());
  isDark.addEventListener("change", tell);
}

export function changeTheme(wanted: Theme): void {
  localStorage.setItem(KEPT, wanted);
  show(wanted);
  tell();
}

/** The theme that was chosen. */
export function useTheme(): Theme {
  return useSyncExternalStore(subscribe, theme);
}

/** What is on the screen: for what is painted by hand, such as charts. */
export function useShownTheme(): "light" | "dark" {
  return useSyncExternalStore(subscribe, () => {
    const wanted = theme();
    return wanted === "system" ? (isDark.matches ? "dark" : "light") : wanted;
  });
}

function show(wanted: Theme): void {
  if (wanted === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = wanted;
}

function subscribe(changed: () => void): () => void {
  asked.add(changed);
  return () => asked.delete(changed);
}

function tell(): void {
  for (const changed of asked) changed();
}
