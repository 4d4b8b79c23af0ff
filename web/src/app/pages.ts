import { lazy } from "react";
import { loadPart } from "@/lib/part";

const parts = {
  login: async () => (await import("@/features/session/login-page")).LoginPage,
  fleet: async () => (await import("@/features/fleet/fleet-page")).FleetPage,
  newServer: async () => (await import("@/features/enrol/new-server-page")).NewServerPage,
  server: async () => (await import("@/features/server/server-page")).ServerPage,
  overview: async () => (await import("@/features/server/overview-tab")).OverviewTab,
  history: async () => (await import("@/features/server/history-tab")).HistoryTab,
  docker: async () => (await import("@/features/docker/docker-tab")).DockerTab,
  containers: async () => (await import("@/features/docker/containers-view")).ContainersView,
  container: async () => (await import("@/features/docker/container-page")).ContainerPage,
  images: async () => (await import("@/features/docker/images-view")).ImagesView,
  terminal: async () => (await import("@/features/terminal/terminal-tab")).TerminalTab,
  sessions: async () => (await import("@/features/terminal/past-sessions")).PastSessions,
  commands: async () => (await import("@/features/commands/command-history")).CommandHistory,
  files: async () => (await import("@/features/files/files-tab")).FilesTab,
  traffic: async () => (await import("@/features/server/traffic-tab")).TrafficTab,
  serverSettings: async () => (await import("@/features/server/settings-tab")).SettingsTab,
  settings: async () => (await import("@/features/settings/settings-page")).SettingsPage,
};

export function page(name: keyof typeof parts) {
  return async () => ({ Component: await loadPart(parts[name]) });
}

// Opened over any of them.
export const RunDrawer = lazy(async () => ({
  default: await loadPart(async () => (await import("@/features/commands/run-drawer")).RunDrawer),
}));

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
