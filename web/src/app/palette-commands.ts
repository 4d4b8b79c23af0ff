import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { useMatch, useNavigate } from "react-router";
import { useActable, useOrganisations } from "@/api/access";
import { useSession } from "@/api/session";
import { fleetQuery, type Vps } from "@/api/vps";
import type { IconName } from "@/components/ui/icons";
import { useLogOut } from "@/features/account/use-log-out";
import { useSelection } from "@/features/fleet/selection";
import { choose, type Language, type Theme } from "@/features/preferences/preferences";
import { openRunDrawer } from "@/features/runs/run-drawer-state";

export interface PaletteCommand {
  key: string;
  label: string;
  icon: IconName;
  vps?: Vps;
  run: () => void;
}

const NO_FLEET: readonly Vps[] = [];
const THEMES: readonly Theme[] = ["light", "dark", "system"];
const LANGUAGES: readonly { language: Language; name: string }[] = [
  { language: "en", name: "English" },
  { language: "zh-CN", name: "简体中文" },
];

// Every server and action that the palette can find.
export function usePaletteCommands(): PaletteCommand[] {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const leave = useLogOut();
  const { data: fleet = NO_FLEET } = useQuery(fleetQuery());
  const actable = useActable(fleet);
  const mayAdd = useOrganisations("admin").length > 0;
  const isAdmin = useSession((session) => session.user?.role === "admin");
  const here = useMatch("/servers/:id/*")?.params.id;
  // The command runs on the server whose page is open, or else on the servers selected in the
  // fleet.
  const picked = here && here !== "new" ? [here] : [...useSelection.getState().ids];
  const only = (allowed: boolean, command: PaletteCommand) => (allowed ? [command] : []);
  const go = (path: string) => () => void navigate(path);
  return [
    { key: "fleet", label: t("palette.fleet"), icon: "fleet", run: go("/") },
    ...only(mayAdd, {
      key: "add",
      label: t("action.addServer"),
      icon: "plus",
      run: go("/servers/new"),
    }),
    ...only(actable.length > 0, {
      key: "run",
      label: t("palette.run"),
      icon: "terminal",
      run: () => openRunDrawer(picked),
    }),
    ...fleet.map((vps) => ({
      key: vps.id,
      label: vps.name,
      icon: "server" as const,
      vps,
      run: go(`/servers/${vps.id}`),
    })),
    ...actable
      .filter(({ powers }) => powers?.shell)
      .map(({ id, name }) => ({
        key: `terminal-${id}`,
        label: t("palette.terminal", { name }),
        icon: "terminal" as const,
        run: go(`/servers/${id}/terminal`),
      })),
    ...(isAdmin
      ? [{ key: "audit", label: t("audit.title"), icon: "audit" as const, run: go("/audit") }]
      : []),
    { key: "settings", label: t("palette.settings"), icon: "settings", run: go("/settings") },
    { key: "units", label: t("palette.units"), icon: "settings", run: go("/settings#units") },
    {
      key: "organisation",
      label: t("palette.organisation"),
      icon: "user",
      run: go("/organisation"),
    },
    ...only(isAdmin, { key: "users", label: t("palette.users"), icon: "user", run: go("/users") }),
    ...THEMES.map((theme) => ({
      key: theme,
      label: t("palette.theme", { theme: t(`theme.${theme}`) }),
      icon: "theme" as const,
      run: () => choose({ theme }),
    })),
    ...LANGUAGES.map(({ language, name }) => ({
      key: language,
      label: t("palette.language", { name }),
      icon: "language" as const,
      run: () => choose({ language }),
    })),
    { key: "out", label: t("action.logOut"), icon: "logOut", run: leave },
  ];
}
