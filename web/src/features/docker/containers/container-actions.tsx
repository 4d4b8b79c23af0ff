import { Button, Dropdown, type MenuProps } from "antd";
import { useTranslation } from "react-i18next";
import type { Container, ContainerAction } from "@/api/docker";
import { Icon, type IconName } from "@/components/ui/icons";
import { isUp, nameOf } from "@/features/docker/containers/container-groups";
import styles from "@/features/docker/docker.module.css";
import { escapeInvisible } from "@/lib/escape-invisible";

const ICONS = {
  start: "play",
  stop: "stop",
  restart: "restart",
  pause: "pause",
  unpause: "play",
  kill: "close",
  remove: "trash",
} as const satisfies Record<ContainerAction, IconName>;

function choices(container: Container): { first: ContainerAction; others: ContainerAction[] } {
  if (container.state === "paused") {
    return { first: "unpause", others: ["stop", "kill", "remove"] };
  }
  if (!isUp(container)) return { first: "start", others: ["remove"] };
  return { first: "stop", others: ["restart", "pause", "kill", "remove"] };
}

interface Props {
  container: Container;
  busy: boolean;
  onAct: (container: Container, act: ContainerAction) => void;
}

export function ContainerActions({ container, busy, onAct }: Props) {
  const { t } = useTranslation();
  const { first, others } = choices(container);
  const name = escapeInvisible(nameOf(container));
  const items: MenuProps["items"] = others.map((act) => ({
    key: act,
    label: t(`docker.action.${act}`),
    icon: <Icon name={ICONS[act]} size={14} />,
    danger: act === "kill" || act === "remove",
  }));
  const onClick: MenuProps["onClick"] = ({ key, domEvent }) => {
    // The key that chose this entry must not also press a button of the dialog that opens.
    domEvent.preventDefault();
    onAct(container, key as ContainerAction);
  };
  return (
    <span className={styles.actions}>
      <Button
        size="small"
        disabled={busy}
        icon={<Icon name={ICONS[first]} size={13} />}
        aria-label={t("docker.actOn", { act: t(`docker.action.${first}`), name })}
        onClick={() => onAct(container, first)}
      >
        <span className={styles.label}>{t(`docker.action.${first}`)}</span>
      </Button>
      <Dropdown trigger={["click"]} disabled={busy} menu={{ items, onClick }}>
        <Button
          size="small"
          icon={<Icon name="dots" size={14} />}
          aria-label={t("action.moreFor", { name })}
        />
      </Dropdown>
    </span>
  );
}
