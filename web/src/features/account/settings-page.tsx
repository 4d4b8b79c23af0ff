import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { useSession } from "@/api/session";
import { Page } from "@/components/ui/page";
import { PasswordCard } from "@/features/account/password-card";
import { SecurityCard } from "@/features/account/security/security-card";
import { SessionsCard } from "@/features/account/sessions-card";
import styles from "@/features/account/settings-page.module.css";
import { useLogOut } from "@/features/account/use-log-out";
import { LanguageSwitch, ThemeSwitch } from "@/features/preferences/preference-switches";
import { SaveNote } from "@/features/preferences/save-note";
import { UnitSettings } from "@/features/preferences/unit-settings";
import { useFormat } from "@/lib/use-format";

export function SettingsPage() {
  const { t } = useTranslation();
  const format = useFormat();
  const leave = useLogOut();
  const user = useSession((session) => session.user);
  return (
    <Page title={t("settings.title")} narrow>
      <SaveNote />
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
      <section className={styles.box} id="units">
        <h2>{t("settings.units")}</h2>
        <p>{t("settings.unitsHint")}</p>
        <UnitSettings />
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
              <dd>{format.dateTime(user.created_at)}</dd>
            </div>
          </dl>
          <Button onClick={leave}>{t("action.logOut")}</Button>
        </section>
      )}
      <PasswordCard />
      <SecurityCard className={styles.box} />
      <SessionsCard />
      <section className={styles.box}>
        <h2>{t("settings.api")}</h2>
        <p>{t("settings.apiHint")}</p>
        <a href="/api/v1/docs">{t("settings.apiDocs")}</a>
      </section>
    </Page>
  );
}
