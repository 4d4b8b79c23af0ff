import { Button, Form, Input } from "antd";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate, useSearchParams } from "react-router";
import { ApiError, isUnreachable } from "@/api/problem";
import { logIn, useSession } from "@/api/session";
import { Icon } from "@/components/ui/icons";
import { LanguageSwitch, ThemeSwitch } from "@/components/ui/preference-switches";
import styles from "@/features/session/login-page.module.css";
import { useNow } from "@/lib/clock";
import { returnPath } from "@/lib/return-path";

interface Credentials {
  username: string;
  password: string;
}

export function LoginPage() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [search] = useSearchParams();
  const phase = useSession((session) => session.phase);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const target = returnPath(search);

  useEffect(() => {
    if (phase === "in") void navigate(target, { replace: true });
  }, [phase, navigate, target]);

  const submit = async ({ username, password }: Credentials) => {
    setBusy(true);
    setError(null);
    try {
      await logIn(username.trim(), password);
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };

  return (
    <main className={styles.page}>
      <section className={styles.box}>
        <h1>
          <Icon name="mark" size={28} />
          Flotilla
        </h1>
        <Form<Credentials>
          layout="vertical"
          requiredMark={false}
          onFinish={submit}
          aria-label={t("login.title")}
          data-testid="login-form"
        >
          <Form.Item
            name="username"
            label={t("login.username")}
            rules={[{ required: true, message: t("login.usernameMissing") }]}
          >
            <Input autoComplete="username" autoCapitalize="none" spellCheck={false} autoFocus />
          </Form.Item>
          <Form.Item
            name="password"
            label={t("login.password")}
            rules={[{ required: true, message: t("login.passwordMissing") }]}
          >
            <Input.Password autoComplete="current-password" />
          </Form.Item>
          {error !== null && <Refusal error={error} />}
          <Button type="primary" htmlType="submit" block loading={busy}>
            {t("login.submit")}
          </Button>
        </Form>
      </section>
      <footer className={styles.choices}>
        <LanguageSwitch />
        <ThemeSwitch />
      </footer>
    </main>
  );
}

function Refusal({ error }: { error: unknown }) {
  const { t } = useTranslation();
  if (error instanceof ApiError && error.status === 429) {
    return <Throttled seconds={error.retryAfter ?? 60} key={error.requestId} />;
  }
  const requestId = error instanceof ApiError ? error.requestId : null;
  return (
    <p className={styles.refusal} role="alert">
      {refusalText()}
    </p>
  );

  function refusalText(): string {
    if (isUnreachable(error)) return t("login.away");
    if (error instanceof ApiError && [400, 401, 422].includes(error.status))
      return t("login.wrong");
    return t("login.failed", { requestId: requestId ?? "–" });
  }
}

function Throttled({ seconds }: { seconds: number }) {
  const { t } = useTranslation();
  const [until] = useState(() => Date.now() + seconds * 1000);
  const left = Math.max(0, Math.ceil((until - useNow(500)) / 1000));
  return (
    <p className={styles.refusal} role="alert">
      {left > 0 ? t("login.throttled", { seconds: left }) : t("login.again")}
    </p>
  );
}
