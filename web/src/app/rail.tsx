import { Dropdown } from "antd";
import { useTranslation } from "react-i18next";
import { Link, NavLink, useNavigate } from "react-router";
import { useSession } from "@/api/session";
import styles from "@/app/shell.module.css";
import { Icon } from "@/components/ui/icons";
import { useLogOut } from "@/components/ui/use-log-out";

export function Rail({ onSearch }: { onSearch: () => void }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const leave = useLogOut();
  const user = useSession((session) => session.user);
  const name = user?.username ?? "";
  const menu = {
    items: [
      { key: "who", label: t("shell.loggedInAs", { name }), disabled: true },
      { key: "settings", label: t("settings.title"), onClick: () => void navigate("/settings") },
      { type: "divider" as const },
      { key: "out", label: t("action.logOut"), onClick: leave },
    ],
  };
  return (
    <aside className={styles.rail}>
      <Link to="/" className={styles.mark} aria-label="Flotilla" tabIndex={-1}>
        <Icon name="mark" size={26} />
      </Link>
      <nav aria-label={t("shell.rooms")}>
        <NavLink to="/" end className={styles.item ?? ""} title={t("fleet.title")}>
          <Icon name="fleet" />
          <span className="sr-only">{t("fleet.title")}</span>
        </NavLink>
        <button type="button" className={styles.item} title={t("palette.title")} onClick={onSearch}>
          <Icon name="search" />
          <span className="sr-only">{t("palette.title")}</span>
        </button>
      </nav>
      <nav className={styles.low} aria-label={t("shell.yours")}>
        <NavLink to="/settings" className={styles.item ?? ""} title={t("settings.title")}>
          <Icon name="settings" />
          <span className="sr-only">{t("settings.title")}</span>
        </NavLink>
        <Dropdown menu={menu} trigger={["click"]} placement="topRight">
          <button type="button" className={styles.item} title={t("shell.account", { name })}>
            <b className={styles.me} aria-hidden="true">
              {name.slice(0, 2)}
            </b>
            <span className="sr-only">{t("shell.account", { name })}</span>
          </button>
        </Dropdown>
      </nav>
    </aside>
  );
}
