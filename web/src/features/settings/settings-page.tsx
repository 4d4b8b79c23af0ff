import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { useSession } from "@/api/session";
import { Page } from "@/components/ui/page";
import { LanguageSwitch, ThemeSwitch } from "@/components/ui/preference-switches";
import { useLogOut } from "@/components/ui/use-log-out";
import styles from "@/features/settings/settings-page.module.css";
import { formatAbsolute } from "@/lib/format";

export function SettingsPage() {
  const { t, i18n } = useTranslation();
  const leave = useLogOut();
  const user = useSession((session) => session.user);
  return (
    <Page title={t("settings.title")} narrow>
      <section className={styles.box}>
        <h2>{t("settings.look")}</h2>
        <p>{t("settings.lookHint")}</p>
        <div className={styles.row}>
          <span>{t("settings.language")}</span>
          <LanguageSwitch />
        </div>
        <div className={styles.row}>
          <span>{t("settings.theme")}</span>
          <ThemeSwitch />
        </div>
      </section>
      {user && (
        <section className={styles.box}>
          <h2>{t("settings.you")}</h2>
          <dl>
            <div className={styles.row}>
              <dt>{t("login.username")}</dt>
              <dd>{user.username}</dd>
            </div>
            <div className={styles.row}>
              <dt>{t("settings.email")}</dt>
              <dd>{user.email ?? "–"}</dd>
            </div>
            <div className={styles.row}>
              <dt>{t("settings.role")}</dt>
              <dd>{t(`role.${user.role}`)}</dd>
            </div>
            <div className={styles.row}>
              <dt>{t("settings.since")}</dt>
              <dd>{formatAbsolute(user.created_at, i18n.language)}</dd>
            </div>
          </dl>
          <Button onClick={leave}>{t("action.logOut")}</Button>
        </section>
      )}
    </Page>
  );
}
