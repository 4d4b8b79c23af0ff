import { useQuery } from "@tanstack/react-query";
import { Modal } from "antd";
import { useTranslation } from "react-i18next";
import { checksumQuery, type FileEntry } from "@/api/files";
import { CopyButton } from "@/components/ui/copy-button";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/files/dialogs/dialogs.module.css";
import type { DialogProps } from "@/features/files/dialogs/intent";
import { joined } from "@/features/files/paths";
import { escapeInvisible } from "@/lib/escape-invisible";

interface Props extends DialogProps {
  entry: FileEntry;
}

// Shows the checksum of a file. The server reads the whole file for it.
export function ChecksumDialog({ vps, folder, entry, onClose }: Props) {
  const { t } = useTranslation();
  const { data, error, refetch } = useQuery(checksumQuery(vps.id, joined(folder, entry.name)));
  const title = t("files.title.checksum", { name: escapeInvisible(entry.name), server: vps.name });
  return (
    <Modal open title={title} footer={null} onCancel={onClose}>
      {data !== undefined && (
        <p className={styles.sum}>
          <code data-testid="checksum">{data}</code>
          <CopyButton text={() => data} label={t("files.copyChecksum")} />
        </p>
      )}
      {data === undefined && error === null && <p role="status">{t("files.checksumReading")}</p>}
      {data === undefined && error !== null && (
        <FailureNote error={error} onRetry={() => void refetch()} />
      )}
      <p className={styles.hint}>{t("files.checksumHint")}</p>
    </Modal>
  );
}
