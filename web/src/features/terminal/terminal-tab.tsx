import { useQuery } from "@tanstack/react-query";
import { Segmented } from "antd";
import { createPortal } from "react-dom";
import { useTranslation } from "react-i18next";
import { Outlet, useLocation, useNavigate } from "react-router";
import { useSession } from "@/api/session";
import { sessionsQuery } from "@/api/shell";
import type { Vps } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import { useServerContext } from "@/features/server/server-context";
import styles from "@/features/terminal/terminal.module.css";
import { Terminals } from "@/features/terminal/terminals";

const VIEWS = ["live", "sessions", "commands"] as const;

export function TerminalTab() {
  const context = useServerContext();
  const { vps, tools } = context;
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { pathname, search } = useLocation();
  const view = VIEWS.find((name) => pathname.endsWith(`/${name}`)) ?? "live";
  const path = `/servers/${vps.id}/terminal`;
  const switcher = (
    <Segmented
      size="small"
      aria-label={t("terminal.views")}
      value={view}
      onChange={(chosen) =>
        // The address keeps the terminal that is in front.
        void navigate({ pathname: chosen === "live" ? path : `${path}/${chosen}`, search })
      }
      options={VIEWS.map((value) => ({ value, label: t(`terminal.view.${value}`) }))}
    />
  );
  return (
    <>
      {tools && createPortal(switcher, tools)}
      {/* Hidden instead of unmounted, so that terminals stay connected behind the other views. */}
      <div hidden={view !== "live"}>
        <Live vps={vps} key={vps.id} />
      </div>
      <Outlet context={context} />
    </>
  );
}

function Live({ vps }: { vps: Vps }) {
  const { t } = useTranslation();
  const me = useSession((session) => session.user?.username ?? "");
  const { data, error, refetch } = useQuery(sessionsQuery(vps.id));
  if (data) return <Terminals vps={vps} sessions={data} me={me} />;
  if (error) return <FailureNote error={error} onRetry={() => void refetch()} />;
  return <div className={styles.placeholder} role="status" aria-label={t("loading")} />;
}
