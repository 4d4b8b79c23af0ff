import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Powers, Vps } from "@/api/vps";
import { CopyLine } from "@/components/ui/copy-line";
import { Icon } from "@/components/ui/icons";
import styles from "@/features/server/powers.module.css";

const POLICY = "/etc/flotilla-agent/policy.toml";
const RESTART = "systemctl restart flotilla-agent";

// What the host's owner allows; nothing here can change it.
export function PowersSection({ vps: { id, powers } }: { vps: Vps }) {
  const { t } = useTranslation();
  return (
    <section>
      <h2>{t("allows.title")}</h2>
      <p>{t("allows.text")}</p>
      {powers ? (
        <dl className={styles.powers}>
          <Power name={t("wanted.shell")} on={powers.shell} />
          <Power name={t("wanted.commands")} on={powers.commands} />
          <Power
            name={t("wanted.files")}
            on={powers.files !== "off"}
            what={t(powers.files === "write" ? "wanted.filesWrite" : "wanted.filesRead")}
            where={powers.file_roots.join(", ")}
          />
          <Power
            name={t("wanted.docker")}
            on={powers.docker !== "off"}
            what={t(powers.docker === "actions" ? "wanted.dockerActions" : "wanted.dockerRead")}
          />
          <div>
            <dt>{t("wanted.runAs")}</dt>
            <dd>{powers.user}</dd>
          </div>
        </dl>
      ) : (
        <p>{t("allows.unknown")}</p>
      )}
      <p className={styles.how}>{t("allows.how", { file: POLICY })}</p>
      <CopyLine text={RESTART} />
      <p className={styles.anew}>
        <Link to={`/servers/new?id=${id}&again`}>{t("allows.anew")}</Link>
      </p>
    </section>
  );
}

interface PowerProps {
  name: string;
  on: boolean;
  what?: string;
  where?: string;
}

function Power({ name, on, what, where }: PowerProps) {
  const { t } = useTranslation();
  return (
    <div className={on ? undefined : styles.off}>
      <dt>{name}</dt>
      <dd>
        <Icon name={on ? "check" : "lock"} size={13} />
        {on ? (what ?? t("allows.on")) : t("allows.off")}
        {on && where && <code>{where}</code>}
      </dd>
    </div>
  );
}

// An agent that trusts another key does nothing that is asked of it from here.
export function Disobeys({ powers }: { powers: Powers }) {
  const { t } = useTranslation();
  // One that allows nothing names no key.
  const { shell, commands, files, docker } = powers;
  const allows = shell || commands || files !== "off" || docker !== "off";
  if (powers.obeys || !allows) return null;
  return (
    <div className={styles.warning} role="alert">
      <b>{t("disobeys.title")}</b>
      <p>{t("disobeys.text")}</p>
    </div>
  );
}
