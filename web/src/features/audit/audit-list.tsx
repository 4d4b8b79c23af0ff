import { useTranslation } from "react-i18next";
import type { AuditEntry } from "@/api/audit";
import { Ago } from "@/components/ui/relative-time";
import styles from "@/features/audit/audit.module.css";
import { sentenceOf } from "@/features/audit/entry-texts";
import { OutcomeMark } from "@/features/audit/outcome-mark";
import { escapeInvisible } from "@/lib/escape-invisible";

interface Props {
  entries: readonly AuditEntry[];
  onOpen: (seq: number) => void;
}

export function AuditList({ entries, onOpen }: Props) {
  const { t } = useTranslation();
  return (
    <ol className={styles.list} data-testid="audit-entries">
      {entries.map((entry) => {
        const sentence = sentenceOf(entry, t);
        return (
          <li key={entry.seq}>
            <button
              type="button"
              aria-label={t("audit.entry.open", { sentence })}
              onClick={() => onOpen(entry.seq)}
            >
              <OutcomeMark entry={entry} />
              <span className={styles.what}>
                <span className={styles.sentence}>{sentence}</span>
                {entry.reason && (
                  <span className={styles.reason}>{escapeInvisible(entry.reason)}</span>
                )}
              </span>
              <span className={styles.peer}>{escapeInvisible(entry.peer)}</span>
              <span className={styles.time}>
                <Ago time={entry.time} />
              </span>
            </button>
          </li>
        );
      })}
    </ol>
  );
}
