import { Button, Form, Input } from "antd";
import { useTranslation } from "react-i18next";
import { useChangePassword } from "@/api/login-sessions";
import { fieldErrors, isProblem } from "@/api/problem";
import { FailureNote } from "@/components/ui/failure-note";
import { NewPasswordFields } from "@/features/account/new-password-fields";
import styles from "@/features/account/security.module.css";

interface Fields {
  current: string;
  new: string;
}

export function PasswordCard() {
  const { t } = useTranslation();
  const [form] = Form.useForm<Fields>();
  const change = useChangePassword();

  // Returns the messages that belong to a field.
  const placed = (error: unknown) =>
    isProblem(error, "/problems/wrong-credentials")
      ? [{ name: "current" as const, errors: [t("password.wrong")] }]
      : fieldErrors(error, ["current", "new"]);

  const submit = ({ current, new: next }: Fields) =>
    change.mutate(
      { current, new: next },
      {
        onSuccess: () => form.resetFields(),
        onError: (error) => form.setFields(placed(error)),
      },
    );

  return (
    <section className={styles.box} aria-labelledby="password-card">
      <h2 id="password-card">{t("password.title")}</h2>
      <p>{t("password.text")}</p>
      <Form<Fields>
        form={form}
        layout="vertical"
        requiredMark={false}
        className={styles.form ?? ""}
        onFinish={submit}
        onValuesChange={() => change.reset()}
      >
        <Form.Item
          name="current"
          label={t("password.current")}
          rules={[{ required: true, message: t("password.currentMissing") }]}
        >
          <Input.Password autoComplete="current-password" maxLength={1024} />
        </Form.Item>
        <NewPasswordFields name="new" label={t("password.new")} />
        {change.error && placed(change.error).length === 0 && <FailureNote error={change.error} />}
        <div className={styles.actions}>
          <Button type="primary" htmlType="submit" loading={change.isPending}>
            {t("password.submit")}
          </Button>
          {change.isSuccess && (
            <span className={styles.done} role="status">
              {t("password.done")}
            </span>
          )}
        </div>
      </Form>
    </section>
  );
}
