import { useTranslation } from "react-i18next";
import { isUnfinished, type Run } from "@/api/runs";
import { CopyButton } from "@/components/ui/copy-button";
import { Progress } from "@/features/runs/progress";
import type { Target } from "@/features/runs/results/target";
import styles from "@/features/runs/runs.module.css";
import { useFormat } from "@/lib/use-format";

interface Props {
  run: Pick<Run, "script" | "username" | "created_at" | "timeout_seconds">;
  targets: readonly Target[];
}

// The script, its user, and the progress of the run.
export function RunSummary({ run, targets }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  const done = targets.filter(({ status }) => !isUnfinished(status)).length;
  return (
    <>
      <div className={styles.about}>
        <span>{t("run.startedBy", { user: run.username })}</span>
        <time dateTime={run.created_at}>{format.dateTime(run.created_at)}</time>
        <span>{t("run.limit", { seconds: run.timeout_seconds })}</span>
        <CopyButton label={t("run.copyLink")} text={() => window.location.href} />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard */}
      <pre className={styles.ran} tabIndex={0}>
        {run.script}
      </pre>
      {targets.length > 1 && (
        <Progress
          done={done}
          all={targets.length}
          label={t("run.done", { done, count: targets.length })}
        />
      )}
    </>
  );
}
