import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { useLocation, useNavigate, useSearchParams } from "react-router";
import { type FileEntry, fetchEntry, filesQuery } from "@/api/files";
import { ApiError } from "@/api/problem";
import type { Vps } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { Ago } from "@/components/ui/moments";
import { Breadcrumb } from "@/features/files/breadcrumb";
import { DropArea } from "@/features/files/drop-area";
import { filtered, type Order, ordered } from "@/features/files/entries";
import { FileDialog, type Intent } from "@/features/files/file-dialog";
import { FileTable } from "@/features/files/file-table";
import { FileTools } from "@/features/files/file-tools";
import styles from "@/features/files/files.module.css";
import { baseName, joined, parentOf } from "@/features/files/paths";
import { kept, NOTHING, only } from "@/features/files/selection";
import { UploadPanel } from "@/features/files/upload-panel";
import { useDownload } from "@/features/files/use-download";
import { loadPart } from "@/lib/part";

const FileEditor = lazy(async () => ({
  default: await loadPart(async () => (await import("@/features/files/file-editor")).FileEditor),
}));

// What a server answers that is asked to list what is no folder.
const MAYBE_A_FILE = new Set([404, 422]);

interface Props {
  vps: Vps;
  path: string;
  root: string;
}

export function FileBrowser({ vps, path, root }: Props) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [params, setParams] = useSearchParams();
  const [order, setOrder] = useState<Order>({ key: "name", descending: false });
  const [filter, setFilter] = useState("");
  const left: unknown = useLocation().state;
  // Coming up out of a folder, one is at that folder.
  const [selection, setSelection] = useState(typeof left === "string" ? only(left) : NOTHING);
  const [isNothing, setIsNothing] = useState(false);
  const [intent, setIntent] = useState<Intent | null>(null);
  const download = useDownload(vps.id);
  const file = params.get("file");
  const { data, error, dataUpdatedAt, refetch } = useQuery({
    ...filesQuery(vps.id, path),
    enabled: file === null,
  });

  const to = (folder: string, name?: string) =>
    setParams({ path: folder, ...(name !== undefined && { file: name }) });
  const up = () => {
    if (path === root) return;
    const search = new URLSearchParams({ path: parentOf(path) });
    void navigate({ search: search.toString() }, { state: baseName(path) });
  };

  // An address may lead to a file itself: then it is opened in its folder.
  const missing = error instanceof ApiError && MAYBE_A_FILE.has(error.status) && path !== root;
  useEffect(() => {
    if (!missing) return undefined;
    const abort = new AbortController();
    fetchEntry(vps.id, path, abort.signal).then(
      ({ kind }) => {
        if (kind !== "file" && kind !== "link") {
          setIsNothing(true);
          return;
        }
        const search = new URLSearchParams({ path: parentOf(path), file: baseName(path) });
        void navigate({ search: search.toString() }, { replace: true });
      },
      () => setIsNothing(!abort.signal.aborted),
    );
    return () => abort.abort();
  }, [missing, path, vps.id, navigate]);
  const fault = missing && !isNothing ? null : error;

  const shown = useMemo(
    () => ordered(filtered(data?.entries ?? [], filter), order),
    [data, filter, order],
  );
  const names = useMemo(() => shown.map(({ name }) => name), [shown]);
  const current = kept(selection, names);
  const chosen = shown.filter(({ name }) => current.chosen.has(name));
  const may = vps.powers?.files === "write";

  if (file !== null) {
    return (
      <Suspense fallback={<div className={styles.placeholder} />}>
        <FileEditor
          key={file}
          vps={vps}
          path={joined(path, file)}
          may={may}
          onClose={() => to(path)}
        />
      </Suspense>
    );
  }

  const open = (entry: FileEntry) => {
    // What a link leads to is found out by going there.
    if (entry.kind === "directory" || entry.kind === "link") to(joined(path, entry.name));
    else if (entry.kind === "file") to(path, entry.name);
  };

  return (
    <DropArea vps={vps} folder={path} may={may}>
      <div className={styles.files}>
        <Breadcrumb server={vps.id} path={path} root={root} roots={vps.powers?.file_roots ?? []} />
        <FileTools
          vps={vps}
          folder={path}
          may={may}
          chosen={chosen}
          filter={filter}
          onFilter={setFilter}
          onIntent={setIntent}
          onDownload={download}
          onClear={() => setSelection(NOTHING)}
        />
        <UploadPanel vps={vps} />
        {!may && <p className={styles.note}>{t("files.readOnly")}</p>}
        {fault && <FailureNote error={fault} onRetry={() => void refetch()} />}
        {fault && data && (
          <p className={styles.note} role="status">
            {t("files.asOf")} <Ago time={new Date(dataUpdatedAt).toISOString()} />
          </p>
        )}
        {data?.truncated && (
          <p className={styles.note} role="status">
            {t("files.truncated", { n: data.entries.length })}
          </p>
        )}
        {!data && !fault && (
          <div className={styles.placeholder} role="status" aria-label={t("loading")} />
        )}
        {data &&
          (data.entries.length === 0 ? (
            <EmptyState
              icon="folder"
              title={t("files.emptyTitle")}
              text={t(may ? "files.emptyText" : "files.emptyTextRead")}
            />
          ) : (
            <FileTable
              folder={path}
              entries={shown}
              order={order}
              onOrder={setOrder}
              selection={current}
              onSelection={setSelection}
              may={may}
              onOpen={open}
              onUp={up}
              onIntent={setIntent}
              onDownload={download}
            />
          ))}
        {intent && (
          <FileDialog
            vps={vps}
            folder={path}
            intent={intent}
            entries={data?.entries ?? []}
            onClose={() => setIntent(null)}
            onOpenFile={(name) => to(path, name)}
          />
        )}
      </div>
    </DropArea>
  );
}
