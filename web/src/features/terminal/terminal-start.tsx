import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useRights } from "@/api/access";
import type { Vps } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { NotAllowed } from "@/components/ui/not-allowed";
import { Ago } from "@/components/ui/relative-time";
import type { UnavailableReason } from "@/features/server/unavailable-reason";
import type { NewMenuProps } from "@/features/terminal/new-menu";
import styles from "@/features/terminal/terminal.module.css";
import { attachRequest, NEW_TERMINAL } from "@/features/terminal/use-tabs";

interface Props extends NewMenuProps {
  vps: Vps;
  unavailable: UnavailableReason | null;
}

export function TerminalStart({ vps, unavailable, running, me, onOpen }: Props) {
  const { t } = useTranslation();
  return (
    <>
      {unavailable ? (
        <Unavailable vps={vps} unavailable={unavailable} />
      ) : (
        <EmptyState
          icon="terminal"
          title={t("terminal.startTitle", { name: vps.name })}
          text={t("terminal.startText", { user: vps.powers?.user ?? "" })}
        >
          <Button type="primary" onClick={() => onOpen(NEW_TERMINAL)}>
            {t("terminal.new")}
          </Button>
        </EmptyState>
      )}
      {running.length > 0 && (
        <section className={styles.running}>
          <h2>{t("terminal.running")}</h2>
          <ul>
            {running.map((session) => (
              <li key={session.id}>
                <b>{session.username}</b>
                <span>{session.container?.slice(0, 12) ?? t("terminal.title")}</span>
                <span>
                  <Ago time={session.started_at} />
                </span>
                {session.username === me && (
                  <Button size="small" onClick={() => onOpen(attachRequest(session, me))}>
                    {t("terminal.attach")}
                  </Button>
                )}
                <Button
                  size="small"
                  onClick={() => onOpen({ ...attachRequest(session, me), observe: true })}
                >
                  {t("terminal.watch")}
                </Button>
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}

function Unavailable({ vps, unavailable }: { vps: Vps; unavailable: UnavailableReason }) {
  const { t } = useTranslation();
  const { manage } = useRights(vps);
  if (unavailable === "notAllowed") {
    const { title, text } = t("terminal.unavailable.notAllowed", { returnObjects: true });
    return <NotAllowed icon="terminal" title={title} text={text} setting="shell = true" />;
  }
  const { title, text } = t(`terminal.unavailable.${unavailable}`, { returnObjects: true });
  return (
    <EmptyState icon="terminal" title={title} text={text}>
      {unavailable === "offline" && vps.last_seen && (
        <span>
          {t("card.lastSeen")} <Ago time={vps.last_seen} />
        </span>
      )}
      {unavailable === "pending" && manage && (
        <Link to={`/servers/new?id=${vps.id}`}>{t("card.showLine")}</Link>
      )}
    </EmptyState>
  );
}
