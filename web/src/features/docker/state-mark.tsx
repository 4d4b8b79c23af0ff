import { useTranslation } from "react-i18next";
import styles from "@/features/docker/state-mark.module.css";
import type { Doing } from "@/features/docker/use-acts";
import { visible } from "@/lib/visible";

const LOOKS: Readonly<Record<string, string | undefined>> = {
  running: styles.running,
  paused: styles.paused,
  restarting: styles.changing,
  removing: styles.changing,
  created: styles.created,
  exited: styles.exited,
  dead: styles.dead,
};

interface Props {
  state: string;
  doing?: Doing | undefined;
}

// A shape, a colour and a word.
export function StateMark({ state, doing }: Props) {
  const { t, i18n } = useTranslation();
  const busy = doing && doing.error === null;
  const word = busy
    ? t(`docker.doing.${doing.act}`)
    : i18n.exists(`docker.state.${state}`)
      ? t(`docker.state.${state as "running"}`)
      : visible(state);
  const look = busy ? styles.changing : (LOOKS[state] ?? styles.exited);
  return (
    <span className={styles.mark} data-testid="state" data-state={busy ? doing.act : state}>
      <i aria-hidden="true" className={look} />
      <span>{word}</span>
    </span>
  );
}
