import { App } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { type ListedUser, type UserUpdate, useUpdateUser } from "@/api/users";
import { FailureNote } from "@/components/ui/failure-note";
import table from "@/components/ui/people-table.module.css";
import { DeleteUser } from "@/features/users/delete-user";
import { UserRow } from "@/features/users/user-row";
import styles from "@/features/users/users.module.css";

export function UserTable({ users }: { users: readonly ListedUser[] }) {
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const update = useUpdateUser();
  const [leaving, setLeaving] = useState<ListedUser | null>(null);
  const change = async ({ id, username }: ListedUser, wanted: UserUpdate) => {
    update.reset();
    const key =
      wanted.enabled !== undefined
        ? wanted.enabled
          ? "enable"
          : "disable"
        : wanted.role === "admin"
          ? "promote"
          : "demote";
    const confirmed = await modal.confirm({
      title: t(`users.${key}Ask`, { name: username }),
      content: t(`users.${key}Text`),
      okText: t(`users.${key}`),
      okButtonProps: { danger: key === "disable" || key === "demote" },
      cancelText: t("action.cancel"),
      focusable: { autoFocusButton: "cancel" },
    });
    if (confirmed) update.mutate({ id, change: wanted });
  };
  return (
    <>
      {update.error && (
        <div className={styles.failure}>
          <FailureNote error={update.error} />
        </div>
      )}
      <div className={table.frame}>
        <table className={table.table} data-testid="users">
          <thead>
            <tr>
              <th scope="col">{t("organisation.name")}</th>
              <th scope="col">{t("settings.role")}</th>
              <th scope="col">{t("users.state")}</th>
              <th scope="col">{t("users.organisations")}</th>
              <th scope="col">{t("users.lastLogin")}</th>
              <th scope="col">
                <span className="sr-only">{t("organisation.actions")}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {users.map((user) => (
              <UserRow
                key={user.id}
                user={user}
                busy={update.isPending && update.variables.id === user.id}
                onChange={(wanted) => void change(user, wanted)}
                onDelete={() => setLeaving(user)}
              />
            ))}
          </tbody>
        </table>
      </div>
      {leaving && <DeleteUser user={leaving} onClose={() => setLeaving(null)} />}
    </>
  );
}
