import { useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { Suspense, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, NavLink, Outlet, useLocation, useParams } from "react-router";
import { fleetQuery, type Vps, vpsQuery } from "@/api/vps";
import { Page } from "@/components/ui/page";
import { StatusDot } from "@/components/ui/status-dot";
import { Facts } from "@/features/server/facts";
import { Disobeys } from "@/features/server/powers-section";
import styles from "@/features/server/server.module.css";
import { openRunDrawer } from "@/lib/run-drawer";

export interface ServerContext {
  vps: Vps;
  // Beside the tabs, where a tab may put its controls.
  tools: HTMLElement | null;
}

const FACTS_POLL = 2_000; // ms

export function ServerPage() {
  const { t } = useTranslation();
  const { id = "" } = useParams();
  const [slot, setSlot] = useState<HTMLElement | null>(null);
  const tabs = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  const client = useQueryClient();
  const { data: vps } = useSuspenseQuery({
    ...vpsQuery(id),
    // What the fleet's list says is shown at once, and asked for again.
    initialData: () => client.getQueryData(fleetQuery().queryKey)?.find((one) => one.id === id),
    initialDataUpdatedAt: 0,
    // An agent that has just come for the first time: its facts follow in a moment.
    refetchInterval: ({ state: { data } }) =>
      data && !data.facts && data.status !== "pending" ? FACTS_POLL : false,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another path is another tab
  useEffect(() => {
    const open = tabs.current?.querySelector("[aria-current]");
    open?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [pathname]);
  const title = (
    <span className={styles.title}>
      <Link to="/">{t("fleet.title")}</Link>
      <i aria-hidden="true">/</i>
      <StatusDot status={vps.status} />
      <span className={styles.name}>{vps.name}</span>
    </span>
  );
  const tools = <Button onClick={() => openRunDrawer([id])}>{t("run.title")}</Button>;
  return (
    <Page title={title} tools={tools}>
      <Facts vps={vps} />
      {vps.powers && <Disobeys powers={vps.powers} />}
      <div className={styles.tabs}>
        <nav ref={tabs} aria-label={t("server.tabs")}>
          <NavLink to="." end>
            {t("server.overview")}
          </NavLink>
          <NavLink to="history">{t("server.history")}</NavLink>
          <NavLink to="docker">{t("server.docker")}</NavLink>
          <NavLink to="terminal">{t("server.terminal")}</NavLink>
          <NavLink to="files">{t("server.files")}</NavLink>
          <NavLink to="traffic">{t("server.traffic")}</NavLink>
          <NavLink to="settings">{t("server.settings")}</NavLink>
        </nav>
        <div ref={setSlot} className={styles.tools} />
      </div>
      <Suspense fallback={null}>
        <Outlet context={{ vps, tools: slot } satisfies ServerContext} />
      </Suspense>
    </Page>
  );
}
