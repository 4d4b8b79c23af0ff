import { UnreachableError } from "@/api/problem";

// A part of the console that could not be fetched: the way to the gateway is cut, or an upgrade has
// replaced the part. Either way only a fresh page helps.
export class MissingPartError extends UnreachableError {}

const parts = {
  login: async () => (await import("@/features/session/login-page")).LoginPage,
  fleet: async () => (await import("@/features/fleet/fleet-page")).FleetPage,
  newServer: async () => (await import("@/features/enrol/new-server-page")).NewServerPage,
  server: async () => (await import("@/features/server/server-page")).ServerPage,
  overview: async () => (await import("@/features/server/overview-tab")).OverviewTab,
  history: async () => (await import("@/features/server/history-tab")).HistoryTab,
  traffic: async () => (await import("@/features/server/traffic-tab")).TrafficTab,
  serverSettings: async () => (await import("@/features/server/settings-tab")).SettingsTab,
  settings: async () => (await import("@/features/settings/settings-page")).SettingsPage,
};

export function page(name: keyof typeof parts) {
  return async () => {
    try {
      return { Component: await parts[name]() };
    } catch (cause) {
      throw new MissingPartError("a part of the console could not be loaded", { cause });
    }
  };
}

// Fetches the rooms behind the first one while nothing else is to do, so that they open at once.
export function fetchPagesWhenIdle(): void {
  const fetchAll = async () => {
    for (const part of Object.values(parts)) await part();
  };
  // Opening a page tries again and reports.
  const start = () => void fetchAll().catch(() => undefined);
  if ("requestIdleCallback" in window) window.requestIdleCallback(start, { timeout: 5_000 });
  else setTimeout(start, 2_000);
}
