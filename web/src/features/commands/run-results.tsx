import { App, Button, Segmented } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { FailureNote } from "@/components/ui/failure-note";
import styles from "@/features/commands/commands.module.css";
import { type Outcome, outcomeOf } from "@/features/commands/run-progress";
import { cancelRun, useRun } from "@/features/commands/run-store";
import { TargetResult } from "@/features/commands/target-result";

const FILTERS = ["all", "running", "succeeded", "failed"] as const;
const ALL_OPEN = 4; // servers; more would bury each other

export function RunResults({ onAgain }: { onAgain: (vpsIds: readonly string[]) => void }) {
  const { t } = useTranslation();
  const { message } = App.useApp();
  const { phase, script, targets: byId, error } = useRun();
  const [filter, setFilter] = useState<Outcome | "all">("all");
  const [cancelling, setCancelling] = useState(false);
  const targets = [...byId.values()];
  const count = (name: (typeof FILTERS)[number]) =>
    name === "all" ? targets.length : targets.filter((target) => outcomeOf(target) === name).length;
  const shown = targets.filter((target) => filter === "all" || outcomeOf(target) === filter);
  const cancel = async () => {
    setCancelling(true);
    const left = await cancelRun();
    setCancelling(false);
    if (left > 0) void message.warning(t("run.notCancelled", { count: left }));
  };
  const failed = targets.filter((target) => outcomeOf(target) === "failed");
  return (
    <div className={styles.results}>
      <pre className={styles.ran}>{script}</pre>
      <div className={styles.summary}>
        <Segmented
          aria-label={t("run.filter.title")}
          value={filter}
          onChange={setFilter}
          options={FILTERS.map((value) => ({
            value,
            label: `${t(`run.filter.${value}`)} ${count(value)}`,
            disabled: value !== "all" && value !== filter && count(value) === 0,
          }))}
        />
        {phase === "running" ? (
          <Button danger loading={cancelling} onClick={() => void cancel()}>
            {t("run.cancelAll")}
          </Button>
        ) : (
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
        )}
      </div>
      {error !== null && <FailureNote error={error} />}
      <ul>
        {shown.map((target) => (
          <li key={target.vpsId}>
            <TargetResult target={target} startsOpen={targets.length <= ALL_OPEN} />
          </li>
        ))}
      </ul>
    </div>
  );
}
