import { Button } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { ContainerDetails } from "@/api/docker";
import styles from "@/features/docker/containers/container-page.module.css";
import { ContainerStatePanel } from "@/features/docker/containers/container-state-panel";
import { Fact, FactPanel } from "@/features/docker/containers/fact-panel";
import { portTexts } from "@/features/docker/format";
import { escapeInvisible } from "@/lib/escape-invisible";

const MASK = "•••";
const LABELS_SHOWN = 8;

export function ContainerFacts({ details }: { details: ContainerDetails }) {
  return (
    <div className={styles.panels}>
      <ContainerStatePanel details={details} />
      <Environment variables={details.environment} />
      <Networks details={details} />
      <Mounts mounts={details.mounts} />
      <Labels labels={details.labels} />
    </div>
  );
}

function Environment({ variables }: { variables: ContainerDetails["environment"] }) {
  const { t } = useTranslation();
  if (variables.length === 0) return null;
  return (
    <FactPanel title={t("docker.environment")}>
      <dl className={styles.pairs} data-testid="environment">
        {variables.map(({ name, value, masked }) => (
          <Fact key={name} name={escapeInvisible(name)}>
            {masked ? (
              <span title={t("docker.masked")}>
                <span aria-hidden="true">{MASK}</span>
                <span className="sr-only">{t("docker.masked")}</span>
              </span>
            ) : (
              escapeInvisible(value ?? "")
            )}
          </Fact>
        ))}
      </dl>
    </FactPanel>
  );
}

function Networks({ details }: { details: ContainerDetails }) {
  const { t } = useTranslation();
  const ports = portTexts(details.ports);
  return (
    <FactPanel title={t("docker.networks")}>
      <dl className={styles.pairs}>
        <Fact name={t("docker.networkMode")}>{escapeInvisible(details.network_mode)}</Fact>
        {details.networks.map(({ name, ip_address, mac_address }) => (
          <Fact key={name} name={escapeInvisible(name)}>
            {escapeInvisible([ip_address, mac_address].filter(Boolean).join(" · ")) || "–"}
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
    </FactPanel>
  );
}

function Mounts({ mounts }: { mounts: ContainerDetails["mounts"] }) {
  const { t } = useTranslation();
  if (mounts.length === 0) return null;
  return (
    <FactPanel title={t("docker.mounts")}>
      <dl className={styles.pairs}>
        {mounts.map(({ type, source, destination, read_only }) => (
          <Fact key={destination} name={escapeInvisible(destination)}>
            {escapeInvisible(source || type)} <small>{escapeInvisible(type)}</small>
            {read_only && <small>{t("docker.mountReadOnly")}</small>}
          </Fact>
        ))}
      </dl>
    </FactPanel>
  );
}

function Labels({ labels }: { labels: ContainerDetails["labels"] }) {
  const { t } = useTranslation();
  const [open, setOpen] = useState(false);
  const all = Object.entries(labels).toSorted(([a], [b]) => a.localeCompare(b));
  if (all.length === 0) return null;
  return (
    <FactPanel title={t("docker.labels")}>
      <dl className={styles.pairs}>
        {(open ? all : all.slice(0, LABELS_SHOWN)).map(([name, value]) => (
          <Fact key={name} name={escapeInvisible(name)}>
            {escapeInvisible(value)}
          </Fact>
        ))}
      </dl>
      {all.length > LABELS_SHOWN && (
        <Button type="link" size="small" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? t("action.less") : t("action.more", { n: all.length - LABELS_SHOWN })}
        </Button>
      )}
    </FactPanel>
  );
}
