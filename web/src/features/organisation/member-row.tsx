import { Button, Select } from "antd";
import { useTranslation } from "react-i18next";
import type { OrganisationRole } from "@/api/access";
import type { Member } from "@/api/organisations";
import table from "@/components/ui/people-table.module.css";
import styles from "@/features/organisation/organisation.module.css";
import { escapeInvisible } from "@/lib/escape-invisible";

interface Props {
  member: Member;
  isMe: boolean;
  // Roles that the user may give and take.
  roles: readonly OrganisationRole[];
  changing: boolean;
  removing: boolean;
  onRole: (role: OrganisationRole) => void;
  onRemove: () => void;
}

export function MemberRow({ member, isMe, roles, changing, removing, onRole, onRemove }: Props) {
  const { t } = useTranslation();
  const { username, email, role, enabled } = member;
  const changeable = roles.includes(role);
  return (
    <tr data-testid="member" data-name={username}>
      <th scope="row">
        {username}
        {isMe && <span className={table.mark}>{t("organisation.you")}</span>}
        {!enabled && <span className={table.mark}>{t("users.disabled")}</span>}
      </th>
      <td className={table.long}>{email ? escapeInvisible(email) : "–"}</td>
      <td>
        {changeable ? (
          <Select<OrganisationRole>
            size="small"
            className={styles.role ?? ""}
            aria-label={t("organisation.roleOf", { name: username })}
            value={role}
            loading={changing}
            disabled={changing}
            options={roles.map((one) => ({ value: one, label: t(`organisationRole.${one}`) }))}
            onChange={onRole}
          />
        ) : (
          t(`organisationRole.${role}`)
        )}
      </td>
      <td>
        {(isMe || changeable) && (
          <Button
            size="small"
            loading={removing}
            aria-label={isMe ? undefined : t("organisation.removeOf", { name: username })}
            onClick={onRemove}
          >
            {t(isMe ? "organisation.leave" : "organisation.remove")}
          </Button>
        )}
      </td>
    </tr>
  );
}
