import { App, Button, Segmented } from "antd";
import { useTranslation } from "react-i18next";
import { isProblem } from "@/api/problem";
import { type Run, useCancelRun } from "@/api/runs";
import { type Outcome, outcomeOf, type Target } from "@/features/runs/results/target";
import styles from "@/features/runs/runs.module.css";
import { describeFailure } from "@/lib/described-error";

const FILTERS = ["all", "running", "succeeded", "failed"] as const;

interface Props {
  run: Pick<Run, "id">;
  targets: readonly Target[];
  ended: boolean;
  filter: Outcome | "all";
  onFilter: (filter: Outcome | "all") => void;
  onAgain: (vpsIds: readonly string[]) => void;
}

// Choose which results are shown; cancel the run, or start one like it.
export function RunActions({ run, targets, ended, filter, onFilter, onAgain }: Props) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const cancel = useCancelRun(run.id);
  const count = (name: (typeof FILTERS)[number]) =>
    name === "all" ? targets.length : targets.filter((target) => outcomeOf(target) === name).length;
  const failed = targets.filter((target) => outcomeOf(target) === "failed");
  const onError = (error: unknown) => {
    // The run has just ended, and its next lines report this.
    if (isProblem(error, "/problems/already-ended")) return;
    void message.error(describeFailure(error, t).what);
  };
  return (
    <div className={styles.summary}>
      <Segmented
        aria-label={t("run.filter.title")}
        value={filter}
        onChange={onFilter}
        options={FILTERS.map((value) => ({
          value,
          label: `${t(`run.filter.${value}`)} ${count(value)}`,
          disabled: value !== "all" && value !== filter && count(value) === 0,
        }))}
      />
      {ended ? (
        <>
          {failed.length > 0 && failed.length < targets.length && (
            <Button onClick={() => onAgain(failed.map(({ vpsId }) => vpsId))}>
              {t("run.retryFailed")}
            </Button>
          )}
          <Button type="primary" onClick={() => onAgain(targets.map(({ vpsId }) => vpsId))}>
            {t("run.another")}
          </Button>
        </>
      ) : (
        <Button danger loading={cancel.isPending} onClick={() => cancel.mutate(null, { onError })}>
          {t("run.cancelAll")}
        </Button>
      )}
    </div>
  );
}
