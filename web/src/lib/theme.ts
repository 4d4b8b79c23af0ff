import { useSyncExternalStore } from "react";
import { usePreferences } from "@/lib/preferences";

const systemLight = window.matchMedia("(prefers-color-scheme: light)");

function subscribe(listener: () => void): () => void {
  systemLight.addEventListener("change", listener);
  return () => systemLight.removeEventListener("change", listener);
}

export function useDark(): boolean {
  const theme = usePreferences((preferences) => preferences.theme);
  const light = useSyncExternalStore(subscribe, () => systemLight.matches);
  return theme === "dark" || (theme === "system" && !light);
}
