import { useTranslation } from "react-i18next";
import { type FileEntry, fileActions } from "@/api/files";
import { useBatch } from "@/features/files/browser/use-batch";
import { ActionDialog } from "@/features/files/dialogs/action-dialog";
import { confirmText } from "@/features/files/dialogs/confirm-text";
import styles from "@/features/files/dialogs/dialogs.module.css";
import type { DialogProps } from "@/features/files/dialogs/intent";
import { joined } from "@/features/files/paths";
import { escapeInvisible } from "@/lib/escape-invisible";

const SHOWN = 10; // names

interface Props extends DialogProps {
  entries: readonly FileEntry[];
}

export function DeleteDialog({ vps, folder, entries, onClose }: Props) {
  const { t } = useTranslation();
  const batch = useBatch<FileEntry>(vps.id);
  const folders = entries.filter(({ kind }) => kind === "directory").length;
  const carryOut = async () => {
    const done = await batch.run(entries, ({ name, kind }) =>
      fileActions.remove(vps.id, joined(folder, name), kind === "directory"),
    );
    if (done) onClose();
  };
  return (
    <ActionDialog
      title={confirmText(t, "delete", entries, vps)}
      okText={t("files.submit.delete")}
      danger
      batch={batch}
      nameOf={({ name }) => name}
      onOk={() => void carryOut()}
      onClose={onClose}
    >
      {entries.length > 1 && (
        <ul className={styles.names}>
          {entries.slice(0, SHOWN).map(({ name, kind }) => (
            <li key={name}>
              {escapeInvisible(name)}
              {kind === "directory" && "/"}
            </li>
          ))}
          {entries.length > SHOWN && <li>{t("action.more", { n: entries.length - SHOWN })}</li>}
        </ul>
      )}
      {folders > 0 && <p>{t("files.deleteFolders", { count: folders })}</p>}
      <p>{t("files.deleteWarning")}</p>
    </ActionDialog>
  );
}
