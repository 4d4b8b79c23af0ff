export interface Tab {
  key: number;
  // Null until the server has opened the session.
  session: string | null;
  container: string | null;
  observe: boolean;
}

export const MAX_TABS = 8;

const address = (vpsId: string) => `flotilla-terminals-${vpsId}`;

function isTab(value: unknown): value is Omit<Tab, "key"> {
  if (typeof value !== "object" || value === null) return false;
  const { session, container, observe } = value as Record<string, unknown>;
  const isContainer = container === null || typeof container === "string";
  return typeof session === "string" && isContainer && typeof observe === "boolean";
}

// Load the terminals that were open in this browser tab before a reload.
export function loadTabs(vpsId: string): Tab[] {
  try {
    const saved: unknown = JSON.parse(sessionStorage.getItem(address(vpsId)) ?? "[]");
    if (!Array.isArray(saved)) return [];
    return saved
      .filter(isTab)
      .slice(0, MAX_TABS)
      .map((tab, index) => ({ ...tab, key: index + 1 }));
  } catch {
    // Storage may be disabled, or hold data of another version.
    return [];
  }
}

export function saveTabs(vpsId: string, tabs: readonly Tab[]): void {
  const opened = tabs.filter(({ session }) => session !== null);
  try {
    sessionStorage.setItem(address(vpsId), JSON.stringify(opened));
  } catch {
    // After a reload no tab is open then, but the sessions keep running.
  }
}
