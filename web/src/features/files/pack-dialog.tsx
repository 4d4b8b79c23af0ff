import { Input } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { type FileEntry, fileActs } from "@/api/files";
import { ActModal } from "@/features/files/act-modal";
import styles from "@/features/files/dialogs.module.css";
import type { DialogProps } from "@/features/files/file-dialog";
import { baseName, joined } from "@/features/files/paths";
import { question } from "@/features/files/question";
import { useBatch } from "@/features/files/use-batch";
import { visible } from "@/lib/visible";

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
          ? fileActs.archive(vps.id, {
              path: folder,
              names: entries.map(({ name }) => name),
              destination,
              overwrite,
            })
          : fileActs.extract(vps.id, {
              path: joined(folder, first?.name ?? ""),
              destination,
              overwrite,
            }),
      overwrite,
    );
    if (done) onClose();
  };

  return (
    <ActModal
      title={
        kind === "archive"
          ? question(t, "archive", entries, vps)
          : t("files.ask.extract", { name: visible(first?.name ?? ""), server: vps.name })
      }
      okText={t(`files.do.${kind}`)}
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
    </ActModal>
  );
}
