import type { EditorView } from "@codemirror/view";
import { Button, Checkbox } from "antd";
import { useCallback, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { type FileContent, fetchContent, putContent, useRefreshFiles } from "@/api/files";
import { ApiError } from "@/api/problem";
import type { Vps } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { Icon } from "@/components/ui/icons";
import { CodeArea } from "@/features/files/code-area";
import { Conflict } from "@/features/files/conflict";
import styles from "@/features/files/editor.module.css";
import { baseName } from "@/features/files/paths";
import { useDownload } from "@/features/files/use-download";
import { useLeaveGuard } from "@/features/files/use-leave-guard";
import { visible } from "@/lib/visible";

interface Props {
  vps: Vps;
  path: string;
  may: boolean;
  onClose: () => void;
}

type Saving = { phase: "idle" | "saving" | "saved" } | { phase: "failed"; error: unknown };

export function FileEditor({ vps, path, may, onClose }: Props) {
  const { t } = useTranslation();
  const refresh = useRefreshFiles(vps.id);
  const download = useDownload(vps.id);
  const view = useRef<EditorView | null>(null);
  const [loaded, setLoaded] = useState<FileContent | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [attempt, setAttempt] = useState(0);
  const [version, setVersion] = useState<string | null>(null);
  const [changed, setChanged] = useState(false);
  const [saving, setSaving] = useState<Saving>({ phase: "idle" });
  const [theirs, setTheirs] = useState<FileContent | null>(null);
  const [wrap, setWrap] = useState(false);
  useLeaveGuard(changed);

  const take = useCallback((content: FileContent) => {
    setLoaded(content);
    setVersion(content.version);
    setChanged(false);
    setTheirs(null);
    setSaving({ phase: "idle" });
  }, []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another attempt asks again
  useEffect(() => {
    const abort = new AbortController();
    setError(null);
    fetchContent(vps.id, path, abort.signal).then(take, (cause: unknown) => {
      if (!abort.signal.aborted) setError(cause);
    });
    return () => abort.abort();
  }, [vps.id, path, attempt, take]);

  const save = async (over: string | null) => {
    const text = view.current?.state.sliceDoc();
    if (text === undefined || !may || saving.phase === "saving") return;
    const document = view.current?.state.doc;
    setSaving({ phase: "saving" });
    try {
      const entry = await putContent(vps.id, path, { content: text, version: over });
      setVersion(entry.version);
      // What was typed while it was on its way is not saved yet.
      setChanged(view.current?.state.doc !== document);
      setTheirs(null);
      setSaving({ phase: "saved" });
      void refresh();
    } catch (cause) {
      const isConflict = cause instanceof ApiError && cause.status === 409 && !cause.agentFailure;
      if (!isConflict) {
        setSaving({ phase: "failed", error: cause });
        return;
      }
      try {
        setTheirs(await fetchContent(vps.id, path));
        setSaving({ phase: "idle" });
      } catch (why) {
        setSaving({ phase: "failed", error: why });
      }
    }
  };

  // Wherever the focus is: while a file is open, to save means to save it.
  const onSave = useRef(() => {});
  onSave.current = () => {
    if (changed && !theirs) void save(version);
  };
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key.toLowerCase() !== "s" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      onSave.current();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);

  useEffect(() => {
    if (!theirs) view.current?.focus();
  }, [theirs]);

  const name = baseName(path);
  return (
    <section className={styles.editor} aria-label={t("editor.label", { name: visible(name) })}>
      <header>
        <Button
          type="text"
          icon={<Icon name="left" size={16} />}
          aria-label={t("editor.close")}
          onClick={onClose}
        />
        <h2 title={visible(path)}>{visible(name)}</h2>
        <span role="status" data-testid="editor-state">
          {saving.phase === "saving"
            ? t("editor.saving")
            : changed
              ? t("editor.changed")
              : saving.phase === "saved"
                ? t("editor.saved")
                : !may && loaded && t("editor.readOnly")}
        </span>
        <span className={styles.tools}>
          <Checkbox checked={wrap} onChange={({ target }) => setWrap(target.checked)}>
            {t("logs.wrap")}
          </Checkbox>
          <Button icon={<Icon name="download" size={14} />} onClick={() => download(path)}>
            {t("files.download")}
          </Button>
          {may && (
            <Button
              type="primary"
              disabled={!changed || theirs !== null}
              loading={saving.phase === "saving"}
              onClick={() => void save(version)}
            >
              {t("action.save")}
            </Button>
          )}
        </span>
      </header>
      {saving.phase === "failed" && <FailureNote error={saving.error} />}
      {theirs && loaded && (
        <Conflict
          name={name}
          mine={view.current?.state.sliceDoc() ?? ""}
          theirs={theirs}
          saving={saving.phase === "saving"}
          onReload={() => take(theirs)}
          onOverwrite={() => void save(theirs.version)}
          onBack={() => setTheirs(null)}
        />
      )}
      {error !== null && (
        <Unreadable
          error={error}
          onRetry={() => setAttempt(attempt + 1)}
          onDownload={() => download(path)}
        />
      )}
      {loaded && error === null && (
        <div hidden={theirs !== null} className={styles.frame}>
          <CodeArea
            name={name}
            text={loaded.content}
            readOnly={!may}
            wrap={wrap}
            view={view}
            onChange={() => setChanged(true)}
          />
        </div>
      )}
      {!loaded && error === null && (
        <div className={styles.placeholder} role="status" aria-label={t("loading")} />
      )}
      {loaded && may && <p className={styles.hint}>{t("editor.hint")}</p>}
    </section>
  );
}

interface UnreadableProps {
  error: unknown;
  onRetry: () => void;
  onDownload: () => void;
}

function Unreadable({ error, onRetry, onDownload }: UnreadableProps) {
  const { t } = useTranslation();
  const status = error instanceof ApiError ? error.status : 0;
  if (status !== 413 && status !== 422) return <FailureNote error={error} onRetry={onRetry} />;
  return (
    <EmptyState
      icon="file"
      title={t(status === 413 ? "editor.tooLarge" : "editor.notText")}
      text={t("editor.downloadInstead")}
    >
      <Button type="primary" onClick={onDownload}>
        {t("files.download")}
      </Button>
    </EmptyState>
  );
}
