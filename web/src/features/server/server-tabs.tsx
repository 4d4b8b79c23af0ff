import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { NavLink, useLocation } from "react-router";
import type { Rights } from "@/api/access";

interface Tab {
  name: "history" | "docker" | "terminal" | "files" | "traffic" | "settings";
  // The right without which the tab is hidden.
  needs?: keyof Rights;
}

const TABS: readonly Tab[] = [
  { name: "history" },
  { name: "docker" },
  { name: "terminal", needs: "act" },
  { name: "files", needs: "act" },
  { name: "traffic" },
  { name: "settings", needs: "manage" },
];

// Tells whether the rights allow the tab that the path, /servers/<id>/<tab>, opens.
export function mayOpen(pathname: string, rights: Rights): boolean {
  const open = TABS.find(({ name }) => name === pathname.split("/")[3]);
  return !open?.needs || rights[open.needs];
}

export function ServerTabs({ rights }: { rights: Rights }) {
  const { t } = useTranslation();
  const { pathname } = useLocation();
  const nav = useRef<HTMLElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new path means another tab
  useEffect(() => {
    const open = nav.current?.querySelector("[aria-current]");
    open?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [pathname]);
  return (
    <nav ref={nav} aria-label={t("server.tabs")}>
      <NavLink to="." end>
        {t("server.overview")}
      </NavLink>
      {TABS.filter(({ needs }) => !needs || rights[needs]).map(({ name }) => (
        <NavLink key={name} to={name}>
          {t(`server.${name}`)}
        </NavLink>
      ))}
    </nav>
  );
}
