import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Act, Container } from "@/api/docker";
import { ActFailure } from "@/features/docker/act-failure";
import { ContainerActions } from "@/features/docker/container-actions";
import { nameOf } from "@/features/docker/container-groups";

import styles from "@/features/docker/docker.module.css";
import { COLUMNS, cpuText, memoryText, networkText, portTexts } from "@/features/docker/figures";
import { StateMark } from "@/features/docker/state-mark";
import type { Doing } from "@/features/docker/use-acts";
import { formatBytes } from "@/lib/format";
import { visible } from "@/lib/visible";

interface Props {
  server: string;
  container: Container;
  live: boolean;
  may: boolean;
  doing: Doing | undefined;
  onAct: (container: Container, act: Act) => void;
  onDismiss: (cid: string) => void;
}

const PORTS_SHOWN = 2;

export function ContainerRow(props: Props) {
  const { server, container, live, may, doing, onAct, onDismiss } = props;
  const { t } = useTranslation();
  const ports = portTexts(container.ports);
  const image = visible(container.image);
  const limit = container.memory_limit_bytes;
  const failed = doing !== undefined && doing.error !== null;
  return (
    <>
      <tr
        className={live ? undefined : styles.old}
        data-testid="container-row"
        data-name={nameOf(container)}
      >
        <th scope="row">
          <Link to={`/servers/${server}/docker/containers/${container.id}`}>
            {visible(nameOf(container))}
          </Link>
          {container.service && <small>{visible(container.service)}</small>}
        </th>
        <td>
          <StateMark state={container.state} doing={doing} />
          <small>{visible(container.status)}</small>
          {container.cpu_usage_percent !== null && (
            <small className={styles.figures}>
              {cpuText(container)} · {memoryText(container)}
            </small>
          )}
        </td>
        <td className={styles.image} title={image}>
          {image}
        </td>
        <td className={styles.ports} title={ports.join("\n")}>
          {ports.slice(0, PORTS_SHOWN).map((port) => (
            <span key={port}>{port}</span>
          ))}
          {ports.length > PORTS_SHOWN && (
            <small>{t("action.more", { n: ports.length - PORTS_SHOWN })}</small>
          )}
        </td>
        <td data-testid="cpu">{cpuText(container)}</td>
        <td
          title={limit ? t("docker.limit", { limit: formatBytes(limit) }) : undefined}
          data-testid="memory"
        >
          {memoryText(container)}
        </td>
        <td>{networkText(container)}</td>
        <td>
          {may && (
            <ContainerActions
              container={container}
              busy={doing !== undefined && doing.error === null}
              onAct={onAct}
            />
          )}
        </td>
      </tr>
      {failed && (
        <tr>
          <td colSpan={COLUMNS} className={styles.whole}>
            <ActFailure doing={doing} onDismiss={() => onDismiss(container.id)} />
          </td>
        </tr>
      )}
    </>
  );
}
