import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { grantable } from "@/api/access";
import { type Member, membersQuery, useRemoveMember, useUpdateMember } from "@/api/organisations";
import { type OwnOrganisation, useSession } from "@/api/session";
import { FailureNote } from "@/components/ui/failure-note";
import table from "@/components/ui/people-table.module.css";
import { MemberRow } from "@/features/organisation/member-row";
import styles from "@/features/organisation/organisation.module.css";
import { useConfirmedChange } from "@/features/organisation/use-confirmed-change";

export function Members({ organisation }: { organisation: OwnOrganisation }) {
  const { t } = useTranslation();
  const me = useSession((session) => session.user?.id);
  const { data, error, refetch } = useQuery(membersQuery(organisation.id));
  const update = useUpdateMember(organisation.id);
  const remove = useRemoveMember(organisation.id);
  const confirmed = useConfirmedChange(organisation);
  const roles = grantable(organisation.role);
  const failure = update.error ?? remove.error;
  const clear = () => {
    update.reset();
    remove.reset();
  };
  const changeRole = async (member: Member, role: Member["role"]) => {
    clear();
    const isMe = member.user_id === me;
    if (isMe && !(await confirmed.lowerOwnRole(role))) return;
    update.mutate({ userId: member.user_id, role });
  };
  const leaveOrRemove = async (member: Member) => {
    clear();
    const isMe = member.user_id === me;
    if (!(await (isMe ? confirmed.leave() : confirmed.remove(member)))) return;
    remove.mutate(member.user_id);
  };
  return (
    <section aria-labelledby="members">
      <div className={styles.head}>
        <h2 id="members">{t("organisation.members")}</h2>
      </div>
      {failure && (
        <div className={styles.failure}>
          <FailureNote error={failure} />
        </div>
      )}
      {!data && error && <FailureNote error={error} onRetry={() => void refetch()} />}
      {!data && !error && (
        <div className={table.placeholder} role="status" aria-label={t("loading")} />
      )}
      {data && (
        <div className={table.frame}>
          <table className={table.table} data-testid="members">
            <thead>
              <tr>
                <th scope="col">{t("organisation.name")}</th>
                <th scope="col">{t("settings.email")}</th>
                <th scope="col">{t("settings.role")}</th>
                <th scope="col">
                  <span className="sr-only">{t("organisation.actions")}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {data.map((member) => (
                <MemberRow
                  key={member.user_id}
                  member={member}
                  isMe={member.user_id === me}
                  roles={roles}
                  changing={update.isPending && update.variables.userId === member.user_id}
                  removing={remove.isPending && remove.variables === member.user_id}
                  onRole={(role) => void changeRole(member, role)}
                  onRemove={() => void leaveOrRemove(member)}
                />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
