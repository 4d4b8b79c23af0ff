import { Input } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { type FileEntry, fileActions } from "@/api/files";
import { useBatch } from "@/features/files/browser/use-batch";
import { ActionDialog } from "@/features/files/dialogs/action-dialog";
import { confirmText } from "@/features/files/dialogs/confirm-text";
import styles from "@/features/files/dialogs/dialogs.module.css";
import type { DialogProps } from "@/features/files/dialogs/intent";
import { freeName, joined } from "@/features/files/paths";

interface Props extends DialogProps {
  kind: "move" | "copy";
  entries: readonly FileEntry[];
}

export function TransferDialog({ vps, folder, kind, entries, onClose }: Props) {
  const { t } = useTranslation();
  const [to, setTo] = useState(folder);
  const batch = useBatch<FileEntry>(vps.id);
  const trimmed = to.trim();
  const target = trimmed.length > 1 ? trimmed.replace(/\/+$/, "") : trimmed;
  const same = target === folder;

  const carryOut = async (items: readonly FileEntry[], overwrite: boolean) => {
    const done = await batch.run(
      items,
      ({ name }) => {
        // A copy in the same folder needs another name.
        const named = same && kind === "copy" ? freeName(name, new Set()) : name;
        const transfer = {
          path: joined(folder, name),
          destination: joined(target, named),
          overwrite,
        };
        return kind === "move"
          ? fileActions.rename(vps.id, transfer)
          : fileActions.copy(vps.id, transfer);
      },
      overwrite,
    );
    if (done) onClose();
  };

  return (
    <ActionDialog
      title={confirmText(t, kind, entries, vps)}
      okText={t(`files.submit.${kind}`)}
      disabled={!target.startsWith("/") || (same && kind === "move")}
      batch={batch}
      nameOf={({ name }) => name}
      onReplace={() =>
        void carryOut(
          batch.existing.map(({ item }) => item),
          true,
        )
      }
      onOk={() => void carryOut(entries, false)}
      onClose={onClose}
    >
      <label htmlFor="to-folder">{t("files.toFolder")}</label>
      <Input
        id="to-folder"
        autoFocus
        autoComplete="off"
        spellCheck={false}
        value={to}
        onChange={(event) => setTo(event.target.value)}
      />
      <p className={styles.hint}>
        {same && kind === "copy" ? t("files.copyHere") : t("files.toFolderHint")}
      </p>
    </ActionDialog>
  );
}
