import { App, Button } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { isProblem } from "@/api/problem";
import { isUnfinished, useCancelRun } from "@/api/runs";
import { ExitMark } from "@/features/runs/results/exit-mark";
import { OutputActions } from "@/features/runs/results/output-actions";
import { OutputText } from "@/features/runs/results/output-text";
import type { Target } from "@/features/runs/results/target";
import { TargetNotes } from "@/features/runs/results/target-notes";
import styles from "@/features/runs/runs.module.css";
import { useNow } from "@/lib/clock";
import { describeFailure } from "@/lib/described-error";
import { formatCountdown } from "@/lib/format/durations";

interface Props {
  runId: string;
  target: Target;
  name: string;
  cancelling: boolean;
  startsOpen: boolean;
}

// The result of a run on one server.
export function TargetResult({ runId, target, name, cancelling, startsOpen }: Props) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const [open, setOpen] = useState(startsOpen);
  const cancel = useCancelRun(runId);
  const { vpsId, status, output } = target;
  const unfinished = isUnfinished(status);
  const onError = (error: unknown) => {
    // The run has just ended, and its next lines report this.
    if (isProblem(error, "/problems/already-ended")) return;
    void message.error(describeFailure(error, t).what);
  };
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
          <ExitMark
            status={status}
            exitCode={target.exitCode}
            cancelling={cancelling && unfinished}
          />
          <b>{name}</b>
        </button>
        <Elapsed target={target} />
        {target.truncated && <span className={styles.truncated}>{t("run.truncated")}</span>}
        {unfinished && !cancelling && (
          <Button
            size="small"
            aria-label={t("run.cancelOf", { name })}
            loading={cancel.isPending}
            onClick={() => cancel.mutate(vpsId, { onError })}
          >
            {t("action.cancel")}
          </Button>
        )}
        {output.length > 0 && <OutputActions runId={runId} target={target} name={name} />}
      </header>
      <TargetNotes target={target} open={open} />
      {open && <OutputText chunks={output} empty={status === "finished"} />}
    </section>
  );
}

function Elapsed({ target: { startedAt, endedAt } }: { target: Target }) {
  const now = useNow(1000);
  if (startedAt === null) return null;
  const seconds = Math.max(0, Math.round(((endedAt ?? now) - startedAt) / 1000));
  return <time>{formatCountdown(seconds)}</time>;
}
