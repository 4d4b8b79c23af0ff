import { Button } from "antd";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Vps } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { Ago } from "@/components/ui/moments";
import { PowerOff } from "@/components/ui/power-off";
import type { NewMenuProps } from "@/features/terminal/new-menu";
import styles from "@/features/terminal/terminal.module.css";
import { attachTo, NEW } from "@/features/terminal/use-tabs";
import type { Hindrance } from "@/lib/hindrance";

interface Props extends NewMenuProps {
  vps: Vps;
  hindrance: Hindrance | null;
}

export function Landing({ vps, hindrance, running, me, onOpen }: Props) {
  const { t } = useTranslation();
  return (
    <>
      {hindrance ? (
        <Hindered vps={vps} hindrance={hindrance} />
      ) : (
        <EmptyState
          icon="terminal"
          title={t("terminal.startTitle", { name: vps.name })}
          text={t("terminal.startText", { user: vps.powers?.user ?? "" })}
        >
          <Button type="primary" onClick={() => onOpen(NEW)}>
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
                  <Button size="small" onClick={() => onOpen(attachTo(session, me))}>
                    {t("terminal.attach")}
                  </Button>
                )}
                <Button
                  size="small"
                  onClick={() => onOpen({ ...attachTo(session, me), observe: true })}
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

function Hindered({ vps, hindrance }: { vps: Vps; hindrance: Hindrance }) {
  const { t } = useTranslation();
  if (hindrance === "off") {
    const { title, text } = t("terminal.hindrance.off", { returnObjects: true });
    return <PowerOff icon="terminal" title={title} text={text} setting="shell = true" />;
  }
  const { title, text } = t(`terminal.hindrance.${hindrance}`, { returnObjects: true });
  return (
    <EmptyState icon="terminal" title={title} text={text}>
      {hindrance === "offline" && vps.last_seen && (
        <span>
          {t("card.lastSeen")} <Ago time={vps.last_seen} />
        </span>
      )}
      {hindrance === "pending" && (
        <Link to={`/servers/new?id=${vps.id}`}>{t("card.showLine")}</Link>
      )}
    </EmptyState>
  );
}
