import { useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Button } from "antd";
import { Suspense, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, Outlet, useLocation, useParams } from "react-router";
import { useRights, withinRole } from "@/api/access";
import { isNotFound } from "@/api/problem";
import { fleetQuery, vpsQuery } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { Page } from "@/components/ui/page";
import { StatusDot } from "@/components/ui/status-dot";
import { openRunDrawer } from "@/features/runs/run-drawer-state";
import { UntrustedKeyWarning } from "@/features/server/allowed-section";
import { Facts } from "@/features/server/facts";
import type { ServerContext } from "@/features/server/server-context";
import styles from "@/features/server/server-page.module.css";
import { mayOpen, ServerTabs } from "@/features/server/server-tabs";

const FACTS_POLL = 2_000; // ms

export function ServerPage() {
  const { t } = useTranslation();
  const { id = "" } = useParams();
  const [slot, setSlot] = useState<HTMLElement | null>(null);
  const { pathname } = useLocation();
  const client = useQueryClient();
  const { data: vps, error } = useSuspenseQuery({
    ...vpsQuery(id),
    // Show the record from the list of servers at once, and fetch it again.
    initialData: () => client.getQueryData(fleetQuery().queryKey)?.find((one) => one.id === id),
    initialDataUpdatedAt: 0,
    // After the first connection of an agent, its facts follow a moment later.
    refetchInterval: ({ state: { data } }) =>
      data && !data.facts && data.status !== "pending" ? FACTS_POLL : false,
  });
  const rights = useRights(vps);
  const usable = useMemo(() => withinRole(vps, rights), [vps, rights]);
  const title = (
    <span className={styles.title}>
      <Link to="/">{t("fleet.title")}</Link>
      <i aria-hidden="true">/</i>
      <StatusDot status={vps.status} />
      <span className={styles.name}>{vps.name}</span>
    </span>
  );
  // The server was deleted, or the user lost the right to it, while this page was open.
  if (isNotFound(error)) {
    return (
      <Page title={title}>
        <EmptyState icon="server" title={t("server.goneTitle")} text={t("server.goneText")}>
          <Link to="/">{t("notFound.back")}</Link>
        </EmptyState>
      </Page>
    );
  }
  const tools = rights.act && <Button onClick={() => openRunDrawer([id])}>{t("run.title")}</Button>;
  return (
    <Page title={title} tools={tools}>
      <Facts vps={vps} />
      {vps.powers && <UntrustedKeyWarning powers={vps.powers} />}
      <div className={styles.tabs}>
        <ServerTabs rights={rights} />
        <div ref={setSlot} className={styles.tools} />
      </div>
      {mayOpen(pathname, rights) ? (
        <Suspense fallback={null}>
          <Outlet context={{ vps: usable, tools: slot } satisfies ServerContext} />
        </Suspense>
      ) : (
        <EmptyState icon="lock" title={t("server.roleTitle")} text={t("server.roleText")} />
      )}
    </Page>
  );
}
