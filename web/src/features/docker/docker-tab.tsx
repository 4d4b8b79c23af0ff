import { Segmented } from "antd";
import { createPortal } from "react-dom";
import { useTranslation } from "react-i18next";
import { Link, Outlet, useLocation, useNavigate, useOutletContext } from "react-router";
import { EmptyState } from "@/components/ui/empty-state";
import { PowerOff } from "@/components/ui/power-off";
import type { ServerContext } from "@/features/server/server-page";

type View = "containers" | "images";

export function DockerTab() {
  const context = useOutletContext<ServerContext>();
  const { vps, tools } = context;
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { pathname } = useLocation();
  if (vps.status === "pending") {
    return (
      <EmptyState icon="server" title={t("card.waiting")} text={t("server.pendingText")}>
        <Link to={`/servers/new?id=${vps.id}`}>{t("card.showLine")}</Link>
      </EmptyState>
    );
  }
  if (!vps.powers || vps.powers.docker === "off") {
    return (
      <PowerOff
        icon="container"
        title={t("docker.offTitle")}
        text={t("docker.offText")}
        setting={'docker = "actions"'}
      />
    );
  }
  const view: View = pathname.endsWith("/docker/images") ? "images" : "containers";
  return (
    <>
      {tools &&
        createPortal(
          <Segmented<View>
            size="small"
            aria-label={t("docker.views")}
            value={view}
            onChange={(chosen) =>
              void navigate(`/servers/${vps.id}/docker${chosen === "images" ? "/images" : ""}`)
            }
            options={[
              { value: "containers", label: t("docker.containers") },
              { value: "images", label: t("docker.images") },
            ]}
          />,
          tools,
        )}
      <Outlet context={context} />
    </>
  );
}
