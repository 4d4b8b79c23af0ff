import { Button, Form, Input } from "antd";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { isProblem } from "@/api/problem";
import { FailureNote } from "@/components/ui/failure-note";

interface Props {
  kind: "password" | "code";
  submit: string;
  danger?: boolean;
  busy: boolean;
  error: unknown;
  onSubmit: (proof: string) => void;
}

// A form with one field: the password, or a code of the authenticator app.
export function ProofForm({ kind, submit, danger = false, busy, error, onSubmit }: Props) {
  const { t } = useTranslation();
  const [form] = Form.useForm<{ proof: string }>();
  const isWrong = isProblem(error, "/problems/validation");
  useEffect(() => {
    if (isWrong) form.setFields([{ name: "proof", errors: [t(`security.wrong.${kind}`)] }]);
  }, [isWrong, form, kind, t]);
  return (
    <Form form={form} layout="vertical" requiredMark={false} onFinish={(v) => onSubmit(v.proof)}>
      <Form.Item
        name="proof"
        label={t(kind === "password" ? "login.password" : "login.code")}
        rules={[{ required: true, message: t(`security.missing.${kind}`) }]}
      >
        {kind === "password" ? (
          <Input.Password autoComplete="current-password" autoFocus />
        ) : (
          <Input autoComplete="one-time-code" inputMode="numeric" maxLength={64} autoFocus />
        )}
      </Form.Item>
      {error !== null && !isWrong && <FailureNote error={error} />}
      <Button type="primary" htmlType="submit" danger={danger} loading={busy}>
        {submit}
      </Button>
    </Form>
  );
}
