import { lazy } from "react";
import { loadTextsOfPages } from "@/app/i18n";
import { loadChunk } from "@/lib/lazy-chunk";

const parts = {
  login: async () => (await import("@/features/account/login-page")).LoginPage,
  register: async () => (await import("@/features/account/register-page")).RegisterPage,
  newServer: async () => (await import("@/features/enrolment/new-server-page")).NewServerPage,
  server: async () => (await import("@/features/server/server-page")).ServerPage,
  overview: async () => (await import("@/features/server/overview-tab")).OverviewTab,
  history: async () => (await import("@/features/metrics/history-tab")).HistoryTab,
  docker: async () => (await import("@/features/docker/docker-tab")).DockerTab,
  containers: async () =>
    (await import("@/features/docker/containers/containers-view")).ContainersView,
  container: async () =>
    (await import("@/features/docker/containers/container-page")).ContainerPage,
  images: async () => (await import("@/features/docker/images/images-view")).ImagesView,
  terminal: async () => (await import("@/features/terminal/terminal-tab")).TerminalTab,
  sessions: async () => (await import("@/features/terminal/player/past-sessions")).PastSessions,
  commands: async () => (await import("@/features/runs/run-history")).RunHistory,
  files: async () => (await import("@/features/files/files-tab")).FilesTab,
  traffic: async () => (await import("@/features/traffic/traffic-tab")).TrafficTab,
  serverSettings: async () => (await import("@/features/server/settings-tab")).SettingsTab,
  audit: async () => (await import("@/features/audit/audit-page")).AuditPage,
  settings: async () => (await import("@/features/account/settings-page")).SettingsPage,
  organisation: async () =>
    (await import("@/features/organisation/organisation-page")).OrganisationPage,
  users: async () => (await import("@/features/users/users-page")).UsersPage,
};

export function page(name: keyof typeof parts) {
  return async () => {
    const texts = name === "login" ? undefined : loadTextsOfPages;
    const [Component] = await loadChunk(() => Promise.all([parts[name](), texts?.()]));
    return { Component };
  };
}

// Opens on top of any page.
export const RunDrawer = lazy(async () => ({
  default: await loadChunk(async () => (await import("@/features/runs/run-drawer")).RunDrawer),
}));

// Opens when somebody searches.
export const Palette = lazy(async () => ({
  default: await loadChunk(async () => (await import("@/app/palette")).Palette),
}));

// Opens when the account's button is pressed.
export const AccountMenu = lazy(async () => ({
  default: await loadChunk(async () => (await import("@/app/account-menu")).AccountMenu),
}));

// The page of a server is the likeliest next one.
const NEXT = ["server", "overview"] as const;

// Fetches it as soon as somebody points at a link or reaches it with the keyboard, so that it opens
// at once. A first visit fetches no other page.
export function fetchPagesWhenWanted(): () => void {
  const events = ["pointerover", "focusin"] as const;
  const stop = () => {
    for (const name of events) document.removeEventListener(name, fetchNext);
  };
  const fetchNext = ({ target }: Event) => {
    if (!(target instanceof Element) || !target.closest('a[href^="/servers/"]')) return;
    stop();
    // Opening the page tries again, and reports an error.
    for (const name of NEXT) void parts[name]().catch(() => undefined);
  };
  for (const name of events) document.addEventListener(name, fetchNext, { passive: true });
  return stop;
}
