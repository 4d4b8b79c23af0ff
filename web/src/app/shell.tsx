import { useQueryClient } from "@tanstack/react-query";
import { Suspense, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Outlet, useLocation, useNavigate } from "react-router";
import { startFleetFeed } from "@/api/live";
import { useSession } from "@/api/session";
import { ConnectionBanner } from "@/app/connection-banner";
import { fetchPagesWhenIdle, RunDrawer } from "@/app/pages";
import { Palette } from "@/app/palette";
import { Rail } from "@/app/rail";
import styles from "@/app/shell.module.css";
import { PageSkeleton } from "@/components/ui/page-skeleton";
import { loginPath } from "@/lib/return-path";
import { closeRunDrawer, useRunDrawer } from "@/lib/run-drawer";
import { stopSelecting } from "@/lib/selection";

export function Shell() {
  const { t } = useTranslation();
  const client = useQueryClient();
  const navigate = useNavigate();
  const { pathname, search } = useLocation();
  const phase = useSession((session) => session.phase);
  const [searching, setSearching] = useState(false);
  const running = useRunDrawer((drawer) => drawer.open);

  useEffect(() => {
    if (phase === "in") return startFleetFeed(client);
    return undefined;
  }, [phase, client]);

  useEffect(fetchPagesWhenIdle, []);

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
      {searching && <Palette onClose={() => setSearching(false)} />}
      {running && (
        <Suspense fallback={null}>
          <RunDrawer />
        </Suspense>
      )}
    </div>
  );
}
