import { Button, Form, Input } from "antd";
import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import styles from "@/features/account/login-page.module.css";

interface Props {
  busy: boolean;
  failure: ReactNode;
  onSubmit: (code: string) => void;
  onBack: () => void;
}

// Second step of a log-in: a code of the authenticator app, or a recovery code.
export function CodeForm({ busy, failure, onSubmit, onBack }: Props) {
  const { t } = useTranslation();
  const [recovery, setRecovery] = useState(false);
  const [form] = Form.useForm<{ code: string }>();
  const change = () => {
    form.resetFields();
    setRecovery(!recovery);
  };
  return (
    <Form
      form={form}
      layout="vertical"
      requiredMark={false}
      onFinish={({ code }) => onSubmit(code)}
      aria-label={t("login.codeTitle")}
      data-testid="code-form"
    >
      <p className={styles.hint}>{t(recovery ? "login.recoveryHint" : "login.codeHint")}</p>
      <Form.Item
        name="code"
        label={t(recovery ? "login.recoveryCode" : "login.code")}
        rules={[{ required: true, message: t("security.missing.code") }]}
      >
        <Input
          key={recovery ? "recovery" : "code"}
          autoFocus
          autoComplete={recovery ? "off" : "one-time-code"}
          inputMode={recovery ? "text" : "numeric"}
          autoCapitalize="none"
          spellCheck={false}
          maxLength={64}
        />
      </Form.Item>
      {failure}
      <Button type="primary" htmlType="submit" block loading={busy}>
        {t("login.submit")}
      </Button>
      <div className={styles.others}>
        <Button type="link" onClick={change}>
          {t(recovery ? "login.useCode" : "login.useRecovery")}
        </Button>
        <Button type="link" onClick={onBack}>
          {t("login.back")}
        </Button>
      </div>
    </Form>
  );
}
