import { useTranslation } from "react-i18next";
import { Link, useOutletContext, useSearchParams } from "react-router";
import { EmptyState } from "@/components/ui/empty-state";
import { PowerOff } from "@/components/ui/power-off";
import { FileBrowser } from "@/features/files/file-browser";
import { rootOf } from "@/features/files/paths";
import { Roots } from "@/features/files/roots";
import type { ServerContext } from "@/features/server/server-page";

export function FilesTab() {
  const { vps } = useOutletContext<ServerContext>();
  const { t } = useTranslation();
  const [params] = useSearchParams();
  const { powers } = vps;
  if (vps.status === "pending") {
    return (
      <EmptyState icon="server" title={t("card.waiting")} text={t("server.pendingText")}>
        <Link to={`/servers/new?id=${vps.id}`}>{t("card.showLine")}</Link>
      </EmptyState>
    );
  }
  if (!powers || powers.files === "off") {
    return (
      <PowerOff
        icon="folder"
        title={t("files.offTitle")}
        text={t("files.offText")}
        setting={'files = "write"\nfile_roots = ["/"]'}
      />
    );
  }
  const roots = powers.file_roots;
  const path = params.get("path") ?? (roots.length === 1 ? roots[0] : undefined);
  const root = path === undefined ? null : rootOf(path, roots);
  if (path === undefined || root === null) {
    return <Roots vps={vps} roots={roots} outside={path} />;
  }
  return <FileBrowser key={`${vps.id} ${path}`} vps={vps} path={path} root={root} />;
}
