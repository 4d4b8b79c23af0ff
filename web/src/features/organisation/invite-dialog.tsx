import { Form, Input, Modal, Select } from "antd";
import { useTranslation } from "react-i18next";
import type { OrganisationRole } from "@/api/access";
import { type NewInvitation, useInvite } from "@/api/organisations";
import { fieldErrors } from "@/api/problem";
import type { OwnOrganisation } from "@/api/session";
import { CopyLine } from "@/components/ui/copy-line";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/organisation/organisation.module.css";
import { EMAIL } from "@/lib/email";
import { escapeInvisible } from "@/lib/escape-invisible";
import { useFormat } from "@/lib/use-format";

const FIELDS = ["email", "role"] as const;

interface Fields {
  email: string;
  role: OrganisationRole;
}

interface Props {
  organisation: OwnOrganisation;
  // Roles that the user may give.
  roles: readonly OrganisationRole[];
  onClose: () => void;
}

// Asks whom to invite, then shows the link. It is shown once: the gateway does not store it.
export function InviteDialog({ organisation, roles, onClose }: Props) {
  const { t } = useTranslation();
  const [form] = Form.useForm<Fields>();
  const invite = useInvite(organisation.id);
  const made = invite.data;
  const submit = ({ email, role }: Fields) =>
    invite.mutate(
      { email: email.trim(), role },
      {
        onError: (error) => form.setFields(fieldErrors(error, FIELDS)),
      },
    );
  const unplaced = invite.error && fieldErrors(invite.error, FIELDS).length === 0;
  return (
    <Modal
      open
      title={t("invitation.to", { name: organisation.name })}
      okText={t(made ? "action.close" : "invitation.create")}
      cancelText={t("action.cancel")}
      cancelButtonProps={made ? { style: { display: "none" } } : {}}
      confirmLoading={invite.isPending}
      onOk={() => (made ? onClose() : form.submit())}
      onCancel={onClose}
      // A click beside the dialog must not lose the link.
      mask={{ closable: !made }}
    >
      {made ? (
        <Link invitation={made} />
      ) : (
        <Form<Fields>
          form={form}
          layout="vertical"
          requiredMark={false}
          initialValues={{ role: "viewer" }}
          onFinish={submit}
        >
          <Form.Item
            name="email"
            label={t("settings.email")}
            validateTrigger="onBlur"
            rules={[{ required: true, pattern: EMAIL, message: t("invitation.emailWrong") }]}
          >
            <Input type="email" maxLength={254} autoComplete="off" autoFocus />
          </Form.Item>
          <Form.Item name="role" label={t("settings.role")}>
            <Select
              options={roles.map((role) => ({
                value: role,
                label: t("invitation.roleMay", {
                  role: t(`organisationRole.${role}`),
                  may: t(`organisationRoleMay.${role}`),
                }),
              }))}
            />
          </Form.Item>
          {unplaced && <FailureNote error={invite.error} />}
        </Form>
      )}
    </Modal>
  );
}

function Link({ invitation: { email, expires_at, url } }: { invitation: NewInvitation }) {
  const { t } = useTranslation();
  const format = useFormat();
  const time = format.dateTime(expires_at);
  return (
    <div className={styles.made} data-testid="invitation-link">
      <p>{t("invitation.made", { email: escapeInvisible(email), time })}</p>
      <CopyLine text={url} />
    </div>
  );
}
