import { Button, Form, Input } from "antd";
import { type ReactNode, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate, useSearchParams } from "react-router";
import { ApiError, isProblem, isUnreachable } from "@/api/problem";
import { logIn, logInWithCode, setChallenge, useSession } from "@/api/session";
import { Icon } from "@/components/ui/icons";
import { CodeForm } from "@/features/account/code-form";
import styles from "@/features/account/login-page.module.css";
import { LanguageSwitch, ThemeSwitch } from "@/features/preferences/preference-switches";
import { useNow } from "@/lib/clock";
import { returnPath } from "@/lib/return-path";

interface Credentials {
  username: string;
  password: string;
}

export function LoginPage() {
  const navigate = useNavigate();
  const [search] = useSearchParams();
  const phase = useSession((session) => session.phase);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const challenge = useSession((session) => session.challenge);
  const target = returnPath(search);

  useEffect(() => {
    if (phase === "in") void navigate(target, { replace: true });
  }, [phase, navigate, target]);

  const attempt = async (work: Promise<void>) => {
    setBusy(true);
    setError(null);
    try {
      await work;
    } catch (failure) {
      if (isProblem(failure, "/problems/second-factor-required")) setChallenge(failure.challenge);
      else setError(failure);
      // The challenge has expired.
      if (isProblem(failure, "/problems/unauthenticated")) setChallenge(null);
    } finally {
      setBusy(false);
    }
  };
  const back = () => {
    setChallenge(null);
    setError(null);
  };
  const failure = error !== null && <LoginFailure error={error} />;

  return (
    <main className={styles.page}>
      <section className={styles.box}>
        <h1>
          <Icon name="mark" size={28} />
          Flotilla
        </h1>
        {challenge === null ? (
          <PasswordForm
            busy={busy}
            failure={failure}
            onSubmit={({ username, password }) => void attempt(logIn(username.trim(), password))}
          />
        ) : (
          <CodeForm
            busy={busy}
            failure={failure}
            onSubmit={(code) => void attempt(logInWithCode(challenge, code))}
            onBack={back}
          />
        )}
      </section>
      <footer className={styles.choices}>
        <LanguageSwitch />
        <ThemeSwitch />
      </footer>
    </main>
  );
}

interface PasswordFormProps {
  busy: boolean;
  failure: ReactNode;
  onSubmit: (credentials: Credentials) => void;
}

function PasswordForm({ busy, failure, onSubmit }: PasswordFormProps) {
  const { t } = useTranslation();
  return (
    <Form<Credentials>
      layout="vertical"
      requiredMark={false}
      onFinish={onSubmit}
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
      {failure}
      <Button type="primary" htmlType="submit" block loading={busy}>
        {t("login.submit")}
      </Button>
    </Form>
  );
}

function LoginFailure({ error }: { error: unknown }) {
  const { t } = useTranslation();
  if (isProblem(error, "/problems/too-many-attempts")) {
    return <Throttled seconds={error.retryAfter ?? 60} key={error.requestId} />;
  }
  const requestId = error instanceof ApiError ? error.requestId : null;
  return (
    <p className={styles.refusal} role="alert">
      {failureText()}
    </p>
  );

  function failureText(): string {
    if (isUnreachable(error)) return t("login.unreachable");
    if (isProblem(error, "/problems/wrong-credentials", "/problems/validation"))
      return t("login.wrong");
    if (isProblem(error, "/problems/wrong-code")) return t("login.wrongCode");
    if (isProblem(error, "/problems/unauthenticated")) return t("login.expired");
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
