import { App, Button } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import styles from "@/features/commands/commands.module.css";
import { CopyButton } from "@/features/commands/copy-button";
import { ExitMark } from "@/features/commands/exit-mark";
import { OutputText } from "@/features/commands/output-text";
import { plainOutput } from "@/features/commands/plain-output";
import type { Target } from "@/features/commands/run-progress";
import { cancelTarget } from "@/features/commands/run-store";
import { useNow } from "@/lib/clock";
import { describeFailure } from "@/lib/failure";
import { formatCountdown } from "@/lib/format";

interface Props {
  target: Target;
  startsOpen: boolean;
}

// One server's part of a run.
export function TargetResult({ target, startsOpen }: Props) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [open, setOpen] = useState(startsOpen);
  const { name, status, output, truncated, reason } = target;
  const cancel = () =>
    cancelTarget(target).catch(
      (error: unknown) => void message.error(describeFailure(error, t).what),
    );
  return (
    <section
      className={styles.target}
      data-testid="run-target"
      data-name={name}
      data-status={status}
      aria-label={name}
    >
      <header>
        <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
          <ExitMark status={status} exitCode={target.exitCode} />
          <b>{name}</b>
        </button>
        <Took target={target} />
        {truncated && <span className={styles.truncated}>{t("run.truncated")}</span>}
        {status === "running" && (
          <Button size="small" aria-label={t("run.cancelOf", { name })} onClick={cancel}>
            {t("action.cancel")}
          </Button>
        )}
        {output.length > 0 && (
          <CopyButton
            label={t("run.copyOf", { name })}
            text={() => plainOutput(output.map(({ text }) => text).join(""))}
          />
        )}
      </header>
      {reason !== "" && <p className={styles.reason}>{reason}</p>}
      {open && <OutputText pieces={output} empty={status === "finished"} />}
    </section>
  );
}

function Took({ target }: { target: Target }) {
  const now = useNow(1000);
  if (target.startedAt === null) return null;
  const seconds = Math.max(0, Math.round(((target.endedAt ?? now) - target.startedAt) / 1000));
  return <time>{formatCountdown(seconds)}</time>;
}
