import { useTranslation } from "react-i18next";
import { useSearchParams } from "react-router";
import { NotAllowed } from "@/components/ui/not-allowed";
import { FileBrowser } from "@/features/files/browser/file-browser";
import { Roots } from "@/features/files/browser/roots";
import { rootOf } from "@/features/files/paths";
import { PendingNote } from "@/features/server/pending-note";
import { useServerContext } from "@/features/server/server-context";

export function FilesTab() {
  const { vps } = useServerContext();
  const { t } = useTranslation();
  const [params] = useSearchParams();
  const { powers } = vps;
  if (vps.status === "pending") return <PendingNote vps={vps} />;
  if (!powers || powers.files === "off") {
    return (
      <NotAllowed
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
