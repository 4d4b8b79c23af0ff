import { useTranslation } from "react-i18next";
import { FailureNote } from "@/components/ui/failure-note";
import { Ago } from "@/components/ui/relative-time";
import type { Folder } from "@/features/files/browser/use-folder";
import styles from "@/features/files/files.module.css";

interface Props {
  folder: Folder;
  canWrite: boolean;
}

// Everything that limits the list below: read-only access, an error, an old or incomplete listing.
export function FolderNotes({ folder: { listing, readAt, error, refetch }, canWrite }: Props) {
  const { t } = useTranslation();
  return (
    <>
      {!canWrite && <p className={styles.note}>{t("files.readOnly")}</p>}
      {error && <FailureNote error={error} onRetry={refetch} />}
      {error && listing && (
        <p className={styles.note} role="status">
          {t("files.asOf")} <Ago time={new Date(readAt).toISOString()} />
        </p>
      )}
      {listing?.truncated && (
        <p className={styles.note} role="status">
          {t("files.truncated", { n: listing.entries.length })}
        </p>
      )}
      {!listing && !error && (
        <div className={styles.placeholder} role="status" aria-label={t("loading")} />
      )}
    </>
  );
}
