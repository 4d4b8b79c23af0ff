export interface Tab {
  key: number;
  // Null until the server has opened it.
  session: string | null;
  container: string | null;
  observe: boolean;
}

export const MOST_TABS = 8;

const address = (vpsId: string) => `flotilla-terminals-${vpsId}`;

function isTab(value: unknown): value is Omit<Tab, "key"> {
  if (typeof value !== "object" || value === null) return false;
  const { session, container, observe } = value as Record<string, unknown>;
  const isContainer = container === null || typeof container === "string";
  return typeof session === "string" && isContainer && typeof observe === "boolean";
}

// The sessions this browser tab had on its screen, so that a reload brings them back.
export function recallTabs(vpsId: string): Tab[] {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(address(vpsId)) ?? "[]");
    if (!Array.isArray(kept)) return [];
    return kept
      .filter(isTab)
      .slice(0, MOST_TABS)
      .map((tab, index) => ({ ...tab, key: index + 1 }));
  } catch {
    // Storage may be forbidden, or hold what another version wrote.
    return [];
  }
}

export function keepTabs(vpsId: string, tabs: readonly Tab[]): void {
  const opened = tabs.filter(({ session }) => session !== null);
  try {
    sessionStorage.setItem(address(vpsId), JSON.stringify(opened));
  } catch {
    // A reload then starts with none; the sessions themselves go on.
  }
}
