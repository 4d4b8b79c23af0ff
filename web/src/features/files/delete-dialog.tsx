import { useTranslation } from "react-i18next";
import { type FileEntry, fileActs } from "@/api/files";
import { ActModal } from "@/features/files/act-modal";
import styles from "@/features/files/dialogs.module.css";
import type { DialogProps } from "@/features/files/file-dialog";
import { joined } from "@/features/files/paths";
import { question } from "@/features/files/question";
import { useBatch } from "@/features/files/use-batch";
import { visible } from "@/lib/visible";

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
      fileActs.remove(vps.id, joined(folder, name), kind === "directory"),
    );
    if (done) onClose();
  };
  return (
    <ActModal
      title={question(t, "delete", entries, vps)}
      okText={t("files.do.delete")}
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
              {visible(name)}
              {kind === "directory" && "/"}
            </li>
          ))}
          {entries.length > SHOWN && <li>{t("action.more", { n: entries.length - SHOWN })}</li>}
        </ul>
      )}
      {folders > 0 && <p>{t("files.willFolders", { count: folders })}</p>}
      <p>{t("files.willDelete")}</p>
    </ActModal>
  );
}
