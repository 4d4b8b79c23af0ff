import { usePreferences } from "@/features/preferences/preferences";
import { useMedia } from "@/lib/use-media";

// The theme that the user chose, or the system's.
export function usePrefersDark(): boolean {
  const theme = usePreferences((preferences) => preferences.theme);
  const light = useMedia("(prefers-color-scheme: light)");
  return theme === "dark" || (theme === "system" && !light);
}
