import type { EditorView } from "@codemirror/view";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { FailureNote } from "@/components/ui/failure-note";
import { useDownload } from "@/features/files/browser/use-download";
import { CodeArea } from "@/features/files/editor/code-area";
import styles from "@/features/files/editor/editor.module.css";
import { EditorHeader } from "@/features/files/editor/editor-header";
import { MergeConflict } from "@/features/files/editor/merge-conflict";
import { UnreadableFile } from "@/features/files/editor/unreadable-file";
import { useLeaveGuard } from "@/features/files/editor/use-leave-guard";
import { useSaveShortcut } from "@/features/files/editor/use-save-shortcut";
import { useTextFile } from "@/features/files/editor/use-text-file";
import { baseName } from "@/features/files/paths";
import { escapeInvisible } from "@/lib/escape-invisible";

interface Props {
  vpsId: string;
  path: string;
  canWrite: boolean;
  onClose: () => void;
}

export function FileEditor({ vpsId, path, canWrite, onClose }: Props) {
  const { t } = useTranslation();
  const view = useRef<EditorView | null>(null);
  const [wrap, setWrap] = useState(false);
  const file = useTextFile(vpsId, path, view);
  const { loaded, loadError, conflict } = file;
  const download = useDownload(vpsId);
  useLeaveGuard(file.changed);
  useSaveShortcut(() => {
    if (canWrite && file.changed && !conflict) file.save();
  });

  useEffect(() => {
    if (!conflict) view.current?.focus();
  }, [conflict]);

  const name = baseName(path);
  return (
    <section
      className={styles.editor}
      aria-label={t("editor.label", { name: escapeInvisible(name) })}
    >
      <EditorHeader
        path={path}
        file={file}
        canWrite={canWrite}
        wrap={wrap}
        onWrap={setWrap}
        onDownload={() => download(path)}
        onClose={onClose}
      />
      {file.saveError && <FailureNote error={file.saveError} />}
      {conflict && (
        <MergeConflict
          name={name}
          mine={view.current?.state.sliceDoc() ?? ""}
          theirs={conflict}
          saving={file.saving}
          onReload={file.discardMine}
          onOverwrite={file.overwrite}
          onBack={file.keepEditing}
        />
      )}
      {loadError && (
        <UnreadableFile error={loadError} onRetry={file.reload} onDownload={() => download(path)} />
      )}
      {loaded && (
        <div hidden={conflict !== null} className={styles.frame}>
          <CodeArea
            name={name}
            text={loaded.content}
            readOnly={!canWrite}
            wrap={wrap}
            view={view}
            onChange={file.markChanged}
          />
        </div>
      )}
      {!loaded && !loadError && (
        <div className={styles.placeholder} role="status" aria-label={t("loading")} />
      )}
      {loaded && canWrite && <p className={styles.hint}>{t("editor.hint")}</p>}
    </section>
  );
}
