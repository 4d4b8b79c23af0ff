import { Button } from "antd";
import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import type { ContainerDetails } from "@/api/docker";
import { Ago } from "@/components/ui/moments";
import styles from "@/features/docker/container-page.module.css";
import { portTexts } from "@/features/docker/figures";
import { formatBytes } from "@/lib/format";
import { visible } from "@/lib/visible";

const MASK = "•••";
const LABELS_SHOWN = 8;

function Panel({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className={styles.panel}>
      <h3>{title}</h3>
      {children}
    </section>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export function ContainerFacts({ details }: { details: ContainerDetails }) {
  return (
    <div className={styles.panels}>
      <State details={details} />
      <Environment variables={details.environment} />
      <Networks details={details} />
      <Mounts mounts={details.mounts} />
      <Labels labels={details.labels} />
    </div>
  );
}

function State({ details }: { details: ContainerDetails }) {
  const { t } = useTranslation();
  const { restart_policy: policy, restart_count: restarts, health, error } = details;
  const stopped = details.state !== "running" && details.finished_at !== null;
  return (
    <Panel title={t("docker.facts")}>
      <dl className={styles.facts}>
        <Fact name={t("docker.image")}>{visible(details.image)}</Fact>
        <Fact name={t("docker.command")}>
          <code>{visible(details.command.join(" "))}</code>
        </Fact>
        {error !== "" && (
          <Fact name={t("docker.error")}>
            <span className={styles.bad}>{visible(error)}</span>
          </Fact>
        )}
        {health !== "" && <Fact name={t("docker.health")}>{visible(health)}</Fact>}
        {details.started_at && (
          <Fact name={t("docker.started")}>
            <Ago time={details.started_at} />
          </Fact>
        )}
        {stopped && details.finished_at && (
          <Fact name={t("docker.finished")}>
            <Ago time={details.finished_at} />
            {", "}
            {t("docker.exitCode", { code: details.exit_code })}
          </Fact>
        )}
        <Fact name={t("docker.restarts")}>
          {t("docker.policy", { policy: policy || "no", count: restarts })}
        </Fact>
        <Fact name={t("docker.limits")}>
          {t("docker.limitsOf", {
            memory: details.memory_limit_bytes
              ? formatBytes(details.memory_limit_bytes)
              : t("docker.unlimited"),
            cpu: details.cpu_limit ? String(details.cpu_limit) : t("docker.unlimited"),
          })}
        </Fact>
        {details.user !== "" && <Fact name={t("docker.user")}>{visible(details.user)}</Fact>}
        {details.working_directory !== "" && (
          <Fact name={t("docker.directory")}>{visible(details.working_directory)}</Fact>
        )}
        {details.privileged && (
          <Fact name={t("docker.privileged")}>
            <span className={styles.bad}>{t("docker.privilegedYes")}</span>
          </Fact>
        )}
        <Fact name="ID">
          <code>{details.id.slice(0, 12)}</code>
        </Fact>
      </dl>
    </Panel>
  );
}

function Environment({ variables }: { variables: ContainerDetails["environment"] }) {
  const { t } = useTranslation();
  if (variables.length === 0) return null;
  return (
    <Panel title={t("docker.environment")}>
      <dl className={styles.pairs} data-testid="environment">
        {variables.map(({ name, value, masked }) => (
          <Fact key={name} name={visible(name)}>
            {masked ? (
              <span title={t("docker.masked")}>
                <span aria-hidden="true">{MASK}</span>
                <span className="sr-only">{t("docker.masked")}</span>
              </span>
            ) : (
              visible(value ?? "")
            )}
          </Fact>
        ))}
      </dl>
    </Panel>
  );
}

function Networks({ details }: { details: ContainerDetails }) {
  const { t } = useTranslation();
  const ports = portTexts(details.ports);
  return (
    <Panel title={t("docker.networks")}>
      <dl className={styles.pairs}>
        <Fact name={t("docker.networkMode")}>{visible(details.network_mode)}</Fact>
        {details.networks.map(({ name, ip_address, mac_address }) => (
          <Fact key={name} name={visible(name)}>
            {visible([ip_address, mac_address].filter(Boolean).join(" · ")) || "–"}
          </Fact>
        ))}
        {ports.length > 0 && (
          <Fact name={t("docker.ports")}>
            {ports.map((port) => (
              <span key={port} className={styles.line}>
                {port}
              </span>
            ))}
          </Fact>
        )}
      </dl>
    </Panel>
  );
}

function Mounts({ mounts }: { mounts: ContainerDetails["mounts"] }) {
  const { t } = useTranslation();
  if (mounts.length === 0) return null;
  return (
    <Panel title={t("docker.mounts")}>
      <dl className={styles.pairs}>
        {mounts.map(({ type, source, destination, read_only }) => (
          <Fact key={destination} name={visible(destination)}>
            {visible(source || type)} <small>{visible(type)}</small>
            {read_only && <small>{t("docker.mountReadOnly")}</small>}
          </Fact>
        ))}
      </dl>
    </Panel>
  );
}

function Labels({ labels }: { labels: ContainerDetails["labels"] }) {
  const { t } = useTranslation();
  const [open, setOpen] = useState(false);
  const all = Object.entries(labels).toSorted(([a], [b]) => a.localeCompare(b));
  if (all.length === 0) return null;
  return (
    <Panel title={t("docker.labels")}>
      <dl className={styles.pairs}>
        {(open ? all : all.slice(0, LABELS_SHOWN)).map(([name, value]) => (
          <Fact key={name} name={visible(name)}>
            {visible(value)}
          </Fact>
        ))}
      </dl>
      {all.length > LABELS_SHOWN && (
        <Button type="link" size="small" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? t("action.less") : t("action.more", { n: all.length - LABELS_SHOWN })}
        </Button>
      )}
    </Panel>
  );
}
