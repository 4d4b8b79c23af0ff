import { Input } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { type FileEntry, fileActions } from "@/api/files";
import { useBatch } from "@/features/files/browser/use-batch";
import { ActionDialog } from "@/features/files/dialogs/action-dialog";
import { confirmText } from "@/features/files/dialogs/confirm-text";
import styles from "@/features/files/dialogs/dialogs.module.css";
import type { DialogProps } from "@/features/files/dialogs/intent";
import { baseName, joined } from "@/features/files/paths";
import { escapeInvisible } from "@/lib/escape-invisible";

interface Props extends DialogProps {
  kind: "archive" | "extract";
  entries: readonly FileEntry[];
}

function suggested(folder: string, kind: Props["kind"], entries: readonly FileEntry[]): string {
  const [first] = entries;
  if (kind === "extract") {
    return joined(folder, (first?.name ?? "").replace(/\.(?:tar\.\w+|\w+)$/i, ""));
  }
  const stem = entries.length === 1 ? first?.name : baseName(folder);
  return joined(folder, `${stem || "archive"}.tar.gz`);
}

export function PackDialog({ vps, folder, kind, entries, onClose }: Props) {
  const { t } = useTranslation();
  const [to, setTo] = useState(() => suggested(folder, kind, entries));
  const batch = useBatch<string>(vps.id);
  const destination = to.trim();
  const [first] = entries;

  const carryOut = async (overwrite: boolean) => {
    const done = await batch.run(
      [destination],
      () =>
        kind === "archive"
          ? fileActions.archive(vps.id, {
              path: folder,
              names: entries.map(({ name }) => name),
              destination,
              overwrite,
            })
          : fileActions.extract(vps.id, {
              path: joined(folder, first?.name ?? ""),
              destination,
              overwrite,
            }),
      overwrite,
    );
    if (done) onClose();
  };

  return (
    <ActionDialog
      title={
        kind === "archive"
          ? confirmText(t, "archive", entries, vps)
          : t("files.title.extract", { name: escapeInvisible(first?.name ?? ""), server: vps.name })
      }
      okText={t(`files.submit.${kind}`)}
      disabled={!destination.startsWith("/")}
      batch={batch}
      nameOf={(item) => item}
      onReplace={() => void carryOut(true)}
      onOk={() => void carryOut(false)}
      onClose={onClose}
    >
      <label htmlFor="pack-to">{t(kind === "archive" ? "files.asFile" : "files.intoFolder")}</label>
      <Input
        id="pack-to"
        autoFocus
        autoComplete="off"
        spellCheck={false}
        value={to}
        onChange={(event) => setTo(event.target.value)}
      />
      <p className={styles.hint}>
        {t(kind === "archive" ? "files.archiveHint" : "files.extractHint")}
      </p>
    </ActionDialog>
  );
}
