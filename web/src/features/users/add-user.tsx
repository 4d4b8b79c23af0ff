import { App, Form, Input, Modal, Radio } from "antd";
import { useTranslation } from "react-i18next";
import { fieldErrors } from "@/api/problem";
import { type UserCreate, useCreateUser } from "@/api/users";
import { FailureNote } from "@/components/ui/failure-note";
import { EMAIL } from "@/lib/email";
import { USERNAME } from "@/lib/username";

const FIELDS = ["username", "email", "password", "role"] as const;
const MIN_LENGTH = 12; // characters; the gateway's limit

export function AddUser({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [form] = Form.useForm<UserCreate>();
  const create = useCreateUser();
  const submit = ({ email, ...user }: UserCreate) => {
    const address = email?.trim();
    create.mutate(
      { ...user, ...(address && { email: address }) },
      {
        onSuccess: ({ username }) => {
          void message.success(t("users.added", { name: username }));
          onClose();
        },
        onError: (error) => form.setFields(fieldErrors(error, FIELDS)),
      },
    );
  };
  const unplaced = create.error && fieldErrors(create.error, FIELDS).length === 0;
  return (
    <Modal
      open
      title={t("users.add")}
      okText={t("users.add")}
      cancelText={t("action.cancel")}
      confirmLoading={create.isPending}
      onOk={() => form.submit()}
      onCancel={onClose}
    >
      <p>{t("users.addText")}</p>
      <Form<UserCreate>
        form={form}
        layout="vertical"
        requiredMark={false}
        initialValues={{ role: "member" }}
        onFinish={submit}
      >
        <Form.Item
          name="username"
          label={t("login.username")}
          extra={t("register.usernameHint")}
          validateTrigger="onBlur"
          rules={[{ required: true, pattern: USERNAME, message: t("register.usernameWrong") }]}
        >
          <Input
            autoComplete="off"
            autoCapitalize="none"
            spellCheck={false}
            maxLength={63}
            autoFocus
          />
        </Form.Item>
        <Form.Item
          name="email"
          label={t("users.emailOptional")}
          validateTrigger="onBlur"
          rules={[{ pattern: EMAIL, message: t("invitation.emailWrong") }]}
        >
          <Input type="email" autoComplete="off" maxLength={254} />
        </Form.Item>
        <Form.Item
          name="password"
          label={t("login.password")}
          extra={t("password.hint", { n: MIN_LENGTH })}
          validateTrigger="onBlur"
          rules={[
            { required: true, min: MIN_LENGTH, message: t("password.short", { n: MIN_LENGTH }) },
          ]}
        >
          <Input.Password autoComplete="new-password" maxLength={1024} />
        </Form.Item>
        <Form.Item name="role" label={t("settings.role")}>
          <Radio.Group
            options={[
              { value: "member", label: t("role.member") },
              { value: "admin", label: t("role.admin") },
            ]}
          />
        </Form.Item>
        {unplaced && <FailureNote error={create.error} />}
      </Form>
    </Modal>
  );
}
