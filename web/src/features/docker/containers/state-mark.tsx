import { useTranslation } from "react-i18next";
import styles from "@/features/docker/containers/state-mark.module.css";
import type { PendingAction } from "@/features/docker/containers/use-container-actions";
import { escapeInvisible } from "@/lib/escape-invisible";

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
  pending?: PendingAction | undefined;
}

// Shows the state as a shape, a colour and a word.
export function StateMark({ state, pending }: Props) {
  const { t, i18n } = useTranslation();
  const busy = pending && pending.error === null;
  const word = busy
    ? t(`docker.pending.${pending.act}`)
    : i18n.exists(`docker.state.${state}`)
      ? t(`docker.state.${state as "running"}`)
      : escapeInvisible(state);
  const look = busy ? styles.changing : (LOOKS[state] ?? styles.exited);
  return (
    <span className={styles.mark} data-testid="state" data-state={busy ? pending.act : state}>
      <i aria-hidden="true" className={look} />
      <span>{word}</span>
    </span>
  );
}
