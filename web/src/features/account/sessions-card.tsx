import { useQuery } from "@tanstack/react-query";
import { App, Button, Popconfirm } from "antd";
import { useTranslation } from "react-i18next";
import {
  type LoginSession,
  loginSessionsQuery,
  useEndLoginSession,
  useEndOtherLoginSessions,
} from "@/api/login-sessions";
import { FailureNote } from "@/components/ui/failure-note";
import { Ago } from "@/components/ui/relative-time";
import { browserName } from "@/features/account/browser-name";
import styles from "@/features/account/security.module.css";
import { escapeInvisible } from "@/lib/escape-invisible";

export function SessionsCard() {
  const { t } = useTranslation();
  const { modal } = App.useApp();
  const { data, error, refetch } = useQuery(loginSessionsQuery());
  const end = useEndLoginSession();
  const endOthers = useEndOtherLoginSessions();
  const others = data?.filter(({ is_current }) => !is_current).length ?? 0;
  const ask = async () => {
    const confirmed = await modal.confirm({
      title: t("session.endOthersAsk", { count: others }),
      content: t("session.endText"),
      okText: t("session.endOthers"),
      okButtonProps: { danger: true },
      cancelText: t("action.cancel"),
      focusable: { autoFocusButton: "cancel" },
    });
    if (confirmed) endOthers.mutate();
  };
  const failure = end.error ?? endOthers.error;
  return (
    <section className={styles.box} aria-labelledby="sessions-card">
      <h2 id="sessions-card">{t("session.title")}</h2>
      <p>{t("session.text")}</p>
      {failure && <FailureNote error={failure} />}
      {!data && error && <FailureNote error={error} onRetry={() => void refetch()} />}
      {!data && !error && (
        <div className={styles.placeholder} role="status" aria-label={t("loading")} />
      )}
      {data && (
        <ul className={styles.sessions} data-testid="login-sessions">
          {data.map((one) => (
            <Session
              key={one.id}
              session={one}
              ending={end.isPending && end.variables === one.id}
              onEnd={() => end.mutate(one.id)}
            />
          ))}
        </ul>
      )}
      {others > 0 && (
        <Button danger loading={endOthers.isPending} onClick={() => void ask()}>
          {t("session.endOthers")}
        </Button>
      )}
    </section>
  );
}

interface SessionProps {
  session: LoginSession;
  ending: boolean;
  onEnd: () => void;
}

function Session({ session, ending, onEnd }: SessionProps) {
  const { t } = useTranslation();
  const { user_agent, address, used_at, is_current } = session;
  const name = browserName(user_agent) ?? t("session.unknown");
  return (
    <li>
      <div>
        <b title={escapeInvisible(user_agent)}>{escapeInvisible(name)}</b>
        {is_current && <span className={styles.mark}>{t("session.current")}</span>}
        <p>
          {address && `${address} · `}
          {t("session.used")} <Ago time={used_at} />
        </p>
      </div>
      {!is_current && (
        <Popconfirm
          title={t("session.endAsk")}
          description={t("session.endText")}
          okText={t("session.end")}
          okButtonProps={{ danger: true }}
          cancelText={t("action.cancel")}
          onConfirm={onEnd}
        >
          <Button
            size="small"
            loading={ending}
            aria-label={t("session.endOf", { name: escapeInvisible(name) })}
          >
            {t("session.end")}
          </Button>
        </Popconfirm>
      )}
    </li>
  );
}
