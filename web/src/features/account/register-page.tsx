import { useQueryClient } from "@tanstack/react-query";
import { Button, Form, Input } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useLocation, useNavigate } from "react-router";
import { fieldErrors } from "@/api/problem";
import { logIn, register, useSession } from "@/api/session";
import { FailureNote } from "@/components/ui/failure-note";
import { Icon } from "@/components/ui/icons";
import styles from "@/features/account/login-page.module.css";
import { NewPasswordFields } from "@/features/account/new-password-fields";
import { LanguageSwitch, ThemeSwitch } from "@/features/preferences/preference-switches";
import { USERNAME } from "@/lib/username";

interface Fields {
  username: string;
  password: string;
}

// Opened with the link of an invitation. Its token is in the fragment, which browsers do not send.
export function RegisterPage() {
  const { t } = useTranslation();
  const token = useLocation().hash.slice(1);
  return (
    <main className={styles.page}>
      <title>{`${t("register.title")} · Flotilla`}</title>
      <section className={styles.box}>
        <h1>
          <Icon name="mark" size={28} />
          {t("register.title")}
        </h1>
        {token === "" ? (
          <p className={styles.text} role="alert">
            {t("register.noToken")}
          </p>
        ) : (
          <RegisterForm token={token} />
        )}
        <p className={styles.other}>
          {t("register.known")} <Link to="/login">{t("login.submit")}</Link>
        </p>
      </section>
      <footer className={styles.choices}>
        <LanguageSwitch />
        <ThemeSwitch />
      </footer>
    </main>
  );
}

function RegisterForm({ token }: { token: string }) {
  const { t } = useTranslation();
  const client = useQueryClient();
  const navigate = useNavigate();
  const [form] = Form.useForm<Fields>();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);

  const submit = async ({ username, password }: Fields) => {
    setBusy(true);
    setError(null);
    try {
      await register({ token, username, password });
    } catch (failure) {
      const misplaced = fieldErrors(failure, ["username", "password"]);
      if (misplaced.length > 0) form.setFields(misplaced);
      else setError(failure);
      setBusy(false);
      return;
    }
    // The data of a user who was logged in here before.
    client.clear();
    await logIn(username, password).catch(() => undefined);
    void navigate(useSession.getState().phase === "in" ? "/" : "/login", { replace: true });
  };

  return (
    <Form<Fields>
      form={form}
      layout="vertical"
      requiredMark={false}
      onFinish={submit}
      aria-label={t("register.title")}
    >
      <p className={styles.text}>{t("register.text")}</p>
      <Form.Item
        name="username"
        label={t("login.username")}
        extra={t("register.usernameHint")}
        validateTrigger="onBlur"
        rules={[{ required: true, pattern: USERNAME, message: t("register.usernameWrong") }]}
      >
        <Input
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          maxLength={63}
          autoFocus
        />
      </Form.Item>
      <NewPasswordFields name="password" label={t("login.password")} />
      {error !== null && (
        <div className={styles.failure}>
          <FailureNote error={error} />
        </div>
      )}
      <Button type="primary" htmlType="submit" block loading={busy}>
        {t("register.submit")}
      </Button>
    </Form>
  );
}
