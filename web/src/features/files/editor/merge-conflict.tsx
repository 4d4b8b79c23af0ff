import { unifiedMergeView } from "@codemirror/merge";
import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { Button } from "antd";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { FileContent } from "@/api/files";
import styles from "@/features/files/editor/editor.module.css";
import { basics } from "@/features/files/editor/editor-setup";
import { separatorOf } from "@/features/files/editor/line-breaks";
import { escapeInvisible } from "@/lib/escape-invisible";

interface Props {
  name: string;
  mine: string;
  theirs: FileContent;
  saving: boolean;
  onReload: () => void;
  onOverwrite: () => void;
  onBack: () => void;
}

// Shows the differences to a file that somebody else changed, and the choices.
export function MergeConflict({
  name,
  mine,
  theirs,
  saving,
  onReload,
  onOverwrite,
  onBack,
}: Props) {
  const { t } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  const label = t("editor.differences");
  useEffect(() => {
    if (!box.current) return undefined;
    const view = new EditorView({
      parent: box.current,
      state: EditorState.create({
        doc: mine,
        extensions: [
          basics(separatorOf(mine), label, true),
          unifiedMergeView({
            original: theirs.content,
            mergeControls: false,
            collapseUnchanged: { margin: 3, minSize: 6 },
          }),
        ],
      }),
    });
    return () => view.destroy();
  }, [mine, theirs, label]);
  const same = mine === theirs.content;
  return (
    <section className={styles.conflict} role="alertdialog" aria-label={t("editor.conflictTitle")}>
      <h3>{t("editor.conflictTitle")}</h3>
      <p>
        {same
          ? t("editor.conflictSame")
          : t("editor.conflictText", { name: escapeInvisible(name) })}
      </p>
      <div className={styles.choices}>
        <Button onClick={onReload}>{t("editor.reload")}</Button>
        <Button danger loading={saving} onClick={onOverwrite}>
          {t("editor.overwrite")}
        </Button>
        <Button type="text" onClick={onBack}>
          {t("editor.back")}
        </Button>
      </div>
      <div ref={box} className={styles.diff} data-testid="diff" />
    </section>
  );
}
