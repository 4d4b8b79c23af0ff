import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Permissions, Vps } from "@/api/vps";
import { CopyLine } from "@/components/ui/copy-line";
import { Icon } from "@/components/ui/icons";
import styles from "@/features/server/allowed-section.module.css";

const POLICY = "/etc/flotilla-agent/policy.toml";
const RESTART = "systemctl restart flotilla-agent";

// What the policy on the server allows. The console can only show it.
export function AllowedSection({ vps: { id, powers } }: { vps: Vps }) {
  const { t } = useTranslation();
  return (
    <section>
      <h2>{t("allowed.title")}</h2>
      <p>{t("allowed.text")}</p>
      {powers ? (
        <dl className={styles.permissions}>
          <Permission name={t("permission.shell")} on={powers.shell} />
          <Permission name={t("permission.commands")} on={powers.commands} />
          <Permission
            name={t("permission.files")}
            on={powers.files !== "off"}
            what={t(powers.files === "write" ? "permission.filesWrite" : "permission.filesRead")}
            where={powers.file_roots.join(", ")}
          />
          <Permission
            name={t("permission.docker")}
            on={powers.docker !== "off"}
            what={t(
              powers.docker === "actions" ? "permission.dockerActions" : "permission.dockerRead",
            )}
          />
          <div>
            <dt>{t("permission.runAs")}</dt>
            <dd>{powers.user}</dd>
          </div>
        </dl>
      ) : (
        <p>{t("allowed.unknown")}</p>
      )}
      <p className={styles.how}>{t("allowed.how", { file: POLICY })}</p>
      <CopyLine text={RESTART} />
      <p className={styles.reinstall}>
        <Link to={`/servers/new?id=${id}&again`}>{t("allowed.reinstall")}</Link>
      </p>
    </section>
  );
}

interface PermissionProps {
  name: string;
  on: boolean;
  what?: string;
  where?: string;
}

function Permission({ name, on, what, where }: PermissionProps) {
  const { t } = useTranslation();
  return (
    <div className={on ? undefined : styles.off}>
      <dt>{name}</dt>
      <dd>
        <Icon name={on ? "check" : "lock"} size={13} />
        {on ? (what ?? t("allowed.on")) : t("allowed.off")}
        {on && where && <code>{where}</code>}
      </dd>
    </div>
  );
}

// Warns that the agent trusts another command key, so it rejects every command of this console.
export function UntrustedKeyWarning({ powers }: { powers: Permissions }) {
  const { t } = useTranslation();
  // An agent that allows nothing reports no key.
  const { shell, commands, files, docker } = powers;
  const allows = shell || commands || files !== "off" || docker !== "off";
  if (powers.obeys || !allows) return null;
  return (
    <div className={styles.warning} role="alert">
      <b>{t("untrustedKey.title")}</b>
      <p>{t("untrustedKey.text")}</p>
    </div>
  );
}
