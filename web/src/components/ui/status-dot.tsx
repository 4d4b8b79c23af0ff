import { useTranslation } from "react-i18next";
import styles from "@/components/ui/status-dot.module.css";

type Status = "online" | "offline" | "stale" | "pending";

// Shows the status as a colour and a shape, and as a word for screen readers.
export function StatusDot({ status }: { status: Status }) {
  const { t } = useTranslation();
  return (
    <>
      <i
        aria-hidden="true"
        className={`${styles.dot} ${styles[status]}`}
        title={t(`status.${status}`)}
      />
      <span className="sr-only">{t(`status.${status}`)}</span>
    </>
  );
}
