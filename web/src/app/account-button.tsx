import type { ComponentProps } from "react";
import { useTranslation } from "react-i18next";
import { useSession } from "@/api/session";
import styles from "@/app/shell.module.css";

export function AccountButton(props: ComponentProps<"button">) {
  const { t } = useTranslation();
  const name = useSession((session) => session.user?.username ?? "");
  return (
    <button type="button" title={t("shell.account", { name })} {...props} className={styles.item}>
      <b className={styles.me} aria-hidden="true">
        {name.slice(0, 2)}
      </b>
      <span className="sr-only">{t("shell.account", { name })}</span>
    </button>
  );
}
