import { Suspense, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, NavLink } from "react-router";
import { useSession } from "@/api/session";
import { AccountButton } from "@/app/account-button";
import { AccountMenu } from "@/app/pages";
import styles from "@/app/shell.module.css";
import { Icon } from "@/components/ui/icons";

export function Rail({ onSearch }: { onSearch: () => void }) {
  const { t } = useTranslation();
  const [opened, setOpened] = useState(false);
  const isAdmin = useSession((session) => session.user?.role === "admin");
  return (
    <aside className={styles.rail}>
      <Link to="/" className={styles.mark} aria-label="Flotilla" tabIndex={-1}>
        <Icon name="mark" size={26} />
      </Link>
      <nav aria-label={t("shell.navigation")}>
        <NavLink to="/" end className={styles.item ?? ""} title={t("fleet.title")}>
          <Icon name="fleet" />
          <span className="sr-only">{t("fleet.title")}</span>
        </NavLink>
        <button type="button" className={styles.item} title={t("palette.title")} onClick={onSearch}>
          <Icon name="search" />
          <span className="sr-only">{t("palette.title")}</span>
        </button>
      </nav>
      <nav className={styles.low} aria-label={t("shell.accountNavigation")}>
        {isAdmin && (
          <NavLink to="/audit" className={styles.item ?? ""} title={t("audit.title")}>
            <Icon name="audit" />
            <span className="sr-only">{t("audit.title")}</span>
          </NavLink>
        )}
        <NavLink to="/settings" className={styles.item ?? ""} title={t("settings.title")}>
          <Icon name="settings" />
          <span className="sr-only">{t("settings.title")}</span>
        </NavLink>
        {opened ? (
          <Suspense fallback={<AccountButton />}>
            <AccountMenu />
          </Suspense>
        ) : (
          <AccountButton aria-haspopup="menu" onClick={() => setOpened(true)} />
        )}
      </nav>
    </aside>
  );
}
