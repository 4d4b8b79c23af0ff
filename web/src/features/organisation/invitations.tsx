import { useQuery } from "@tanstack/react-query";
import { Button, Popconfirm } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { grantable } from "@/api/access";
import { type Invitation, invitationsQuery, useWithdrawInvitation } from "@/api/organisations";
import type { OwnOrganisation } from "@/api/session";
import { FailureNote } from "@/components/ui/failure-note";
import table from "@/components/ui/people-table.module.css";
import { InviteDialog } from "@/features/organisation/invite-dialog";
import styles from "@/features/organisation/organisation.module.css";
import { escapeInvisible } from "@/lib/escape-invisible";
import { useFormat } from "@/lib/use-format";

export function Invitations({ organisation }: { organisation: OwnOrganisation }) {
  const { t } = useTranslation();
  const [inviting, setInviting] = useState(false);
  const { data, error, refetch } = useQuery(invitationsQuery());
  const withdraw = useWithdrawInvitation();
  const open = data?.filter(({ organisation_id }) => organisation_id === organisation.id);
  return (
    <section aria-labelledby="invitations">
      <div className={styles.head}>
        <h2 id="invitations">{t("invitation.title")}</h2>
        <Button type="primary" onClick={() => setInviting(true)}>
          {t("invitation.invite")}
        </Button>
      </div>
      {withdraw.error && (
        <div className={styles.failure}>
          <FailureNote error={withdraw.error} />
        </div>
      )}
      {!open && error && <FailureNote error={error} onRetry={() => void refetch()} />}
      {open?.length === 0 && <p className={styles.note}>{t("invitation.none")}</p>}
      {open && open.length > 0 && (
        <div className={table.frame}>
          <table className={table.table} data-testid="invitations">
            <thead>
              <tr>
                <th scope="col">{t("settings.email")}</th>
                <th scope="col">{t("settings.role")}</th>
                <th scope="col">{t("invitation.by")}</th>
                <th scope="col">{t("invitation.expires")}</th>
                <th scope="col">
                  <span className="sr-only">{t("organisation.actions")}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {open.map((one) => (
                <InvitationRow
                  key={one.id}
                  invitation={one}
                  withdrawing={withdraw.isPending && withdraw.variables === one.id}
                  // As in the API, whoever invites may withdraw every invitation.
                  onWithdraw={() => withdraw.mutate(one.id)}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
      {inviting && (
        <InviteDialog
          organisation={organisation}
          roles={grantable(organisation.role)}
          onClose={() => setInviting(false)}
        />
      )}
    </section>
  );
}

interface RowProps {
  invitation: Invitation;
  withdrawing: boolean;
  onWithdraw: () => void;
}

function InvitationRow({ invitation, withdrawing, onWithdraw }: RowProps) {
  const { t } = useTranslation();
  const format = useFormat();
  const email = escapeInvisible(invitation.email);
  return (
    <tr>
      <th scope="row">{email}</th>
      <td>{t(`organisationRole.${invitation.role}`)}</td>
      <td data-label={t("invitation.by")}>{invitation.invited_by}</td>
      <td data-label={t("invitation.expires")}>{format.dateTime(invitation.expires_at)}</td>
      <td>
        <Popconfirm
          title={t("invitation.withdrawAsk")}
          description={t("invitation.withdrawText")}
          okText={t("invitation.withdraw")}
          okButtonProps={{ danger: true }}
          cancelText={t("action.cancel")}
          onConfirm={onWithdraw}
        >
          <Button
            size="small"
            loading={withdrawing}
            aria-label={t("invitation.withdrawOf", { email })}
          >
            {t("invitation.withdraw")}
          </Button>
        </Popconfirm>
      </td>
    </tr>
  );
}
