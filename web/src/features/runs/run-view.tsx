import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { isNotFound } from "@/api/problem";
import { runKeys, runQuery } from "@/api/runs";
import type { Vps } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { FailureNote } from "@/components/ui/failure-note";
import { RunSummary } from "@/features/runs/results/run-summary";
import { newTarget, type Outcome, outcomeOf, type Target } from "@/features/runs/results/target";
import { TargetResult } from "@/features/runs/results/target-result";
import { RunActions } from "@/features/runs/run-actions";
import { followInStore, useFollowedRun } from "@/features/runs/run-store";
import styles from "@/features/runs/runs.module.css";

const ALL_OPEN = 4; // servers; with more, the results start folded

interface Props {
  id: string;
  fleet: readonly Vps[];
  onAgain: (script: string, vpsIds: readonly string[]) => void;
}

// One run: its script, its state, and what it printed on each server, live.
export function RunView({ id, fleet, onAgain }: Props) {
  const { t } = useTranslation();
  const client = useQueryClient();
  const { data: run, error, refetch } = useQuery(runQuery(id));
  const { targets: byId, ended, reconnecting, error: broken } = useFollowedRun();
  const [filter, setFilter] = useState<Outcome | "all">("all");
  useEffect(() => followInStore(id), [id]);
  useEffect(() => {
    if (ended !== null) void client.invalidateQueries({ queryKey: runKeys.all });
  }, [ended, client]);
  if (!run) {
    if (isNotFound(error)) {
      return <EmptyState icon="logs" title={t("run.goneTitle")} text={t("run.goneText")} />;
    }
    if (error) return <FailureNote error={error} onRetry={() => void refetch()} />;
    return <div className={styles.placeholder} role="status" aria-label={t("loading")} />;
  }
  const targets: Target[] = run.servers.map(({ vps_id }) => byId.get(vps_id) ?? newTarget(vps_id));
  const cancelling = new Set(
    run.servers.filter((server) => server.cancelling).map(({ vps_id }) => vps_id),
  );
  const shown = targets.filter((target) => filter === "all" || outcomeOf(target) === filter);
  const nameOf = (vpsId: string) => fleet.find((vps) => vps.id === vpsId)?.name ?? vpsId;
  return (
    <div className={styles.results} data-testid="run" data-run={id}>
      <RunSummary run={run} targets={targets} />
      <RunActions
        run={run}
        targets={targets}
        ended={ended !== null}
        filter={filter}
        onFilter={setFilter}
        onAgain={(ids) => onAgain(run.script, ids)}
      />
      {reconnecting && (
        <p className={styles.notice} role="status">
          {t("run.reconnecting")}
        </p>
      )}
      {broken !== null && <FailureNote error={broken} onRetry={() => followInStore(id)} />}
      <ul>
        {shown.map((target) => (
          <li key={target.vpsId}>
            <TargetResult
              runId={id}
              target={target}
              name={nameOf(target.vpsId)}
              cancelling={cancelling.has(target.vpsId)}
              startsOpen={targets.length <= ALL_OPEN}
            />
          </li>
        ))}
      </ul>
    </div>
  );
}
