import { useQueryClient } from "@tanstack/react-query";
import { Suspense, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Outlet, ScrollRestoration, useLocation, useNavigate } from "react-router";
import { useSession } from "@/api/session";
import { ConnectionBanner } from "@/app/connection-banner";
import { DocumentTitle } from "@/app/document-title";
import { fetchPagesWhenWanted, Palette, RunDrawer } from "@/app/pages";
import { Rail } from "@/app/rail";
import styles from "@/app/shell.module.css";
import { PageSkeleton } from "@/components/ui/page-skeleton";
import { stopSelecting } from "@/features/fleet/selection";
import { useRunAddress } from "@/features/runs/run-address";
import { closeRunDrawer, useRunDrawer } from "@/features/runs/run-drawer-state";
import { loginPath } from "@/lib/return-path";
import { startFleetFeed } from "@/live/feed";

export function Shell() {
  const { t } = useTranslation();
  const client = useQueryClient();
  const navigate = useNavigate();
  const { pathname, search } = useLocation();
  const phase = useSession((session) => session.phase);
  const [searching, setSearching] = useState(false);
  const [runId] = useRunAddress();
  const running = useRunDrawer((drawer) => drawer.open) || runId !== null;

  useEffect(() => {
    if (phase === "in") return startFleetFeed(client);
    return undefined;
  }, [phase, client]);

  useEffect(fetchPagesWhenWanted, []);

  useEffect(() => {
    if (phase !== "out") return;
    client.clear();
    closeRunDrawer();
    stopSelecting();
    void navigate(loginPath(pathname + search), { replace: true });
  }, [phase, client, navigate, pathname, search]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      setSearching((open) => !open);
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);

  if (phase !== "in") return null;
  return (
    <div className={styles.shell}>
      <DocumentTitle />
      <ScrollRestoration />
      <a className={styles.skip} href="#main">
        {t("shell.skip")}
      </a>
      <Rail onSearch={() => setSearching(true)} />
      <div className={styles.body}>
        <ConnectionBanner />
        <Suspense fallback={<PageSkeleton />}>
          <Outlet />
        </Suspense>
      </div>
      {searching && (
        <Suspense fallback={null}>
          <Palette onClose={() => setSearching(false)} />
        </Suspense>
      )}
      {running && (
        <Suspense fallback={null}>
          <RunDrawer />
        </Suspense>
      )}
    </div>
  );
}
