import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { useLocation, useNavigate } from "react-router";
import type { FileEntry } from "@/api/files";
import type { Vps } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { Breadcrumb } from "@/features/files/browser/breadcrumb";
import { filtered, type Order, ordered } from "@/features/files/browser/entries";
import { FileTable } from "@/features/files/browser/file-table";
import { FileTools } from "@/features/files/browser/file-tools";
import { FolderNotes } from "@/features/files/browser/folder-notes";
import { NOTHING, only, withoutMissing } from "@/features/files/browser/selection";
import { useDownload } from "@/features/files/browser/use-download";
import { useFolder } from "@/features/files/browser/use-folder";
import { FileDialog } from "@/features/files/dialogs/file-dialog";
import type { Intent } from "@/features/files/dialogs/intent";
import styles from "@/features/files/files.module.css";
import { baseName, joined, parentOf } from "@/features/files/paths";
import { DropArea } from "@/features/files/uploads/drop-area";
import { UploadPanel } from "@/features/files/uploads/upload-panel";

interface Props {
  vps: Vps;
  path: string;
  root: string;
  onOpen: (folder: string, file?: string) => void;
}

export function FolderView({ vps, path, root, onOpen }: Props) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [order, setOrder] = useState<Order>({ key: "name", descending: false });
  const [filter, setFilter] = useState("");
  // Going up selects the folder that was left.
  const left: unknown = useLocation().state;
  const [selection, setSelection] = useState(typeof left === "string" ? only(left) : NOTHING);
  const [intent, setIntent] = useState<Intent | null>(null);
  const download = useDownload(vps.id);
  const folder = useFolder(vps.id, path, root);
  const canWrite = vps.powers?.files === "write";

  const entries = folder.listing?.entries;
  const shown = useMemo(
    () => ordered(filtered(entries ?? [], filter), order),
    [entries, filter, order],
  );
  const names = useMemo(() => shown.map(({ name }) => name), [shown]);
  const current = withoutMissing(selection, names);

  const up = () => {
    if (path === root) return;
    const search = new URLSearchParams({ path: parentOf(path) });
    void navigate({ search: search.toString() }, { state: baseName(path) });
  };
  const open = ({ kind, name }: FileEntry) => {
    // The target of a link is only known once it is opened.
    if (kind === "directory" || kind === "link") onOpen(joined(path, name));
    else if (kind === "file") onOpen(path, name);
  };

  return (
    <DropArea vps={vps} folder={path} canWrite={canWrite}>
      <div className={styles.files}>
        <Breadcrumb server={vps.id} path={path} root={root} roots={vps.powers?.file_roots ?? []} />
        <FileTools
          vps={vps}
          folder={path}
          canWrite={canWrite}
          chosen={shown.filter(({ name }) => current.chosen.has(name))}
          filter={filter}
          onFilter={setFilter}
          onIntent={setIntent}
          onDownload={download}
          onClear={() => setSelection(NOTHING)}
        />
        <UploadPanel vps={vps} />
        <FolderNotes folder={folder} canWrite={canWrite} />
        {entries?.length === 0 && (
          <EmptyState
            icon="folder"
            title={t("files.emptyTitle")}
            text={t(canWrite ? "files.emptyText" : "files.emptyTextRead")}
          />
        )}
        {entries && entries.length > 0 && (
          <FileTable
            folder={path}
            entries={shown}
            order={order}
            onOrder={setOrder}
            selection={current}
            onSelection={setSelection}
            canWrite={canWrite}
            onOpen={open}
            onUp={up}
            onIntent={setIntent}
            onDownload={download}
          />
        )}
        {intent && (
          <FileDialog
            vps={vps}
            folder={path}
            intent={intent}
            entries={entries ?? []}
            onClose={() => setIntent(null)}
            onOpenFile={(name) => onOpen(path, name)}
          />
        )}
      </div>
    </DropArea>
  );
}
