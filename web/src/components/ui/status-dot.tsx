import { useTranslation } from "react-i18next";
import type { VpsStatus } from "@/api/vps";
import styles from "@/components/ui/status-dot.module.css";

// A colour and a shape for eyes, a word for screen readers.
export function StatusDot({ status }: { status: VpsStatus }) {
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
