import { useTranslation } from "react-i18next";
import type { AuditEntry } from "@/api/audit";
import styles from "@/features/audit/audit.module.css";
import { outcomeOf } from "@/features/audit/entry-texts";

// The result of an action: a colour, a shape and a word.
export function OutcomeMark({ entry }: { entry: AuditEntry }) {
  const { t } = useTranslation();
  const outcome = outcomeOf(entry);
  return (
    <span className={`${styles.mark} ${styles[outcome]}`}>
      <i aria-hidden="true" />
      {t(`audit.outcome.${outcome}`)}
    </span>
  );
}
