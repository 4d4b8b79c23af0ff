import { useTranslation } from "react-i18next";
import styles from "@/app/shell.module.css";
import { useNow } from "@/lib/clock";
import { useConnection } from "@/live/connection";

export function ConnectionBanner() {
  const state = useConnection((connection) => connection.state);
  return state === "lost" ? <Lost /> : null;
}

function Lost() {
  const { t } = useTranslation();
  const { retryAt, retryNow } = useConnection();
  const now = useNow(1000);
  const seconds = Math.max(0, Math.ceil(((retryAt ?? now) - now) / 1000));
  return (
    <div className={styles.banner} role="status">
      <span>{t("shell.lost")}</span>
      <span aria-hidden="true">
        {seconds > 0 ? t("shell.retryIn", { seconds }) : t("shell.retrying")}
      </span>
      <button type="button" onClick={retryNow}>
        {t("shell.retryNow")}
      </button>
    </div>
  );
}
