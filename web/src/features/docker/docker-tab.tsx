import { Segmented } from "antd";
import { createPortal } from "react-dom";
import { useTranslation } from "react-i18next";
import { Outlet, useLocation, useNavigate } from "react-router";
import { NotAllowed } from "@/components/ui/not-allowed";
import { PendingNote } from "@/features/server/pending-note";
import { useServerContext } from "@/features/server/server-context";

type View = "containers" | "images";

export function DockerTab() {
  const context = useServerContext();
  const { vps, tools } = context;
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { pathname } = useLocation();
  if (vps.status === "pending") return <PendingNote vps={vps} />;
  if (!vps.powers || vps.powers.docker === "off") {
    return (
      <NotAllowed
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
