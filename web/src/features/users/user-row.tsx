import { Button, Dropdown, type MenuProps } from "antd";
import { useTranslation } from "react-i18next";
import { useSession } from "@/api/session";
import type { ListedUser, UserUpdate } from "@/api/users";
import { Icon } from "@/components/ui/icons";
import table from "@/components/ui/people-table.module.css";
import { Ago } from "@/components/ui/relative-time";
import styles from "@/features/users/users.module.css";
import { escapeInvisible } from "@/lib/escape-invisible";

interface Props {
  user: ListedUser;
  busy: boolean;
  onChange: (change: UserUpdate) => void;
  onDelete: () => void;
}

export function UserRow({ user, busy, onChange, onDelete }: Props) {
  const { t } = useTranslation();
  const me = useSession((session) => session.user?.id);
  const { username, email, role, enabled, organisations, last_login_at } = user;
  const isAdmin = role === "admin";
  const items: MenuProps["items"] = [
    {
      key: "state",
      label: t(enabled ? "users.disable" : "users.enable"),
      onClick: () => onChange({ enabled: !enabled }),
    },
    {
      key: "role",
      label: t(isAdmin ? "users.demote" : "users.promote"),
      onClick: () => onChange({ role: isAdmin ? "member" : "admin" }),
    },
    { type: "divider" },
    { key: "delete", label: t("users.delete"), danger: true, onClick: onDelete },
  ];
  return (
    <tr data-testid="user" data-name={username}>
      <th scope="row">
        {username}
        {user.id === me && <span className={table.mark}>{t("organisation.you")}</span>}
        {email && <small>{escapeInvisible(email)}</small>}
      </th>
      <td>{t(`role.${role}`)}</td>
      <td>
        <span className={enabled ? styles.state : `${styles.state} ${styles.off}`}>
          {t(enabled ? "users.enabled" : "users.disabled")}
        </span>
      </td>
      <td className={table.long} data-label={t("users.organisations")}>
        {organisations.map(escapeInvisible).join(t("separator")) || "–"}
      </td>
      <td data-label={t("users.lastLogin")}>
        {last_login_at ? <Ago time={last_login_at} /> : t("users.never")}
      </td>
      <td>
        <Dropdown trigger={["click"]} disabled={busy} menu={{ items }}>
          <Button
            size="small"
            loading={busy}
            icon={<Icon name="dots" size={14} />}
            aria-label={t("action.moreFor", { name: username })}
          />
        </Dropdown>
      </td>
    </tr>
  );
}
