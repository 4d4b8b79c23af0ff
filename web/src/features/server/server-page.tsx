import { useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Suspense, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, NavLink, Outlet, useParams } from "react-router";
import { fleetQuery, type Vps, vpsQuery } from "@/api/vps";
import { Page } from "@/components/ui/page";
import { StatusDot } from "@/components/ui/status-dot";
import { Facts } from "@/features/server/facts";
import styles from "@/features/server/server.module.css";

export interface ServerContext {
  vps: Vps;
  // Beside the tabs, where a tab may put its controls.
  tools: HTMLElement | null;
}

const FACTS_POLL = 2_000; // ms

export function ServerPage() {
  const { t } = useTranslation();
  const { id = "" } = useParams();
  const [tools, setTools] = useState<HTMLElement | null>(null);
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
  const title = (
    <span className={styles.title}>
      <Link to="/">{t("fleet.title")}</Link>
      <i aria-hidden="true">/</i>
      <StatusDot status={vps.status} />
      <span className={styles.name}>{vps.name}</span>
    </span>
  );
  return (
    <Page title={title}>
      <Facts vps={vps} />
      <div className={styles.tabs}>
        <nav aria-label={t("server.tabs")}>
          <NavLink to="." end>
            {t("server.overview")}
          </NavLink>
          <NavLink to="history">{t("server.history")}</NavLink>
          <NavLink to="traffic">{t("server.traffic")}</NavLink>
          <NavLink to="settings">{t("server.settings")}</NavLink>
        </nav>
        <div ref={setTools} className={styles.tools} />
      </div>
      <Suspense fallback={null}>
        <Outlet context={{ vps, tools } satisfies ServerContext} />
      </Suspense>
    </Page>
  );
}
