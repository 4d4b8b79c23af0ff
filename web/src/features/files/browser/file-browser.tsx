import { lazy, Suspense } from "react";
import { useSearchParams } from "react-router";
import type { Vps } from "@/api/vps";
import { FolderView } from "@/features/files/browser/folder-view";
import styles from "@/features/files/files.module.css";
import { joined } from "@/features/files/paths";
import { loadChunk } from "@/lib/lazy-chunk";

const FileEditor = lazy(async () => ({
  default: await loadChunk(
    async () => (await import("@/features/files/editor/file-editor")).FileEditor,
  ),
}));

interface Props {
  vps: Vps;
  path: string;
  root: string;
}

// Shows a folder, or the file in it that the address names.
export function FileBrowser({ vps, path, root }: Props) {
  const [params, setParams] = useSearchParams();
  const file = params.get("file");
  const open = (folder: string, name?: string) =>
    setParams({ path: folder, ...(name !== undefined && { file: name }) });
  if (file === null) return <FolderView vps={vps} path={path} root={root} onOpen={open} />;
  return (
    <Suspense fallback={<div className={styles.placeholder} />}>
      <FileEditor
        key={file}
        vpsId={vps.id}
        path={joined(path, file)}
        canWrite={vps.powers?.files === "write"}
        onClose={() => open(path)}
      />
    </Suspense>
  );
}
