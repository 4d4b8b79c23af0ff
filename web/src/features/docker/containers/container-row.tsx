import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Container, ContainerAction } from "@/api/docker";
import { ActionFailure } from "@/features/docker/containers/action-failure";
import { ContainerActions } from "@/features/docker/containers/container-actions";
import { nameOf } from "@/features/docker/containers/container-groups";
import { StateMark } from "@/features/docker/containers/state-mark";
import type { PendingAction } from "@/features/docker/containers/use-container-actions";
import styles from "@/features/docker/docker.module.css";
import { COLUMNS, cpuText, memoryText, networkText, portTexts } from "@/features/docker/format";
import { escapeInvisible } from "@/lib/escape-invisible";
import { useFormat } from "@/lib/use-format";

interface Props {
  server: string;
  container: Container;
  live: boolean;
  canAct: boolean;
  pending: PendingAction | undefined;
  onAct: (container: Container, act: ContainerAction) => void;
  onDismiss: (cid: string) => void;
}

const PORTS_SHOWN = 2;

export function ContainerRow(props: Props) {
  const { server, container, live, canAct, pending, onAct, onDismiss } = props;
  const { t } = useTranslation();
  const format = useFormat();
  const ports = portTexts(container.ports);
  const image = escapeInvisible(container.image);
  const limit = container.memory_limit_bytes;
  const failed = pending !== undefined && pending.error !== null;
  return (
    <>
      <tr
        className={live ? undefined : styles.old}
        data-testid="container-row"
        data-name={nameOf(container)}
      >
        <th scope="row">
          <Link to={`/servers/${server}/docker/containers/${container.id}`}>
            {escapeInvisible(nameOf(container))}
          </Link>
          {container.service && <small>{escapeInvisible(container.service)}</small>}
        </th>
        <td>
          <StateMark state={container.state} pending={pending} />
          <small>{escapeInvisible(container.status)}</small>
          {container.cpu_usage_percent !== null && (
            <small className={styles.figures}>
              {cpuText(container, format)} · {memoryText(container, format)}
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
        <td data-testid="cpu">{cpuText(container, format)}</td>
        <td
          title={limit ? t("docker.limit", { limit: format.size(limit) }) : undefined}
          data-testid="memory"
        >
          {memoryText(container, format)}
        </td>
        <td>{networkText(container, format)}</td>
        <td>
          {canAct && (
            <ContainerActions
              container={container}
              busy={pending !== undefined && pending.error === null}
              onAct={onAct}
            />
          )}
        </td>
      </tr>
      {failed && (
        <tr>
          <td colSpan={COLUMNS} className={styles.whole}>
            <ActionFailure pending={pending} onDismiss={() => onDismiss(container.id)} />
          </td>
        </tr>
      )}
    </>
  );
}
