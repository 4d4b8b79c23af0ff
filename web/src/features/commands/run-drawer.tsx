import { useQuery } from "@tanstack/react-query";
import { Drawer } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { fleetQuery } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import { RunForm } from "@/features/commands/run-form";
import { RunResults } from "@/features/commands/run-results";
import { forgetRun, useRun } from "@/features/commands/run-store";
import { closeRunDrawer, useRunDrawer } from "@/lib/run-drawer";

export function RunDrawer() {
  const { t } = useTranslation();
  const vpsIds = useRunDrawer((drawer) => drawer.vpsIds);
  const phase = useRun((run) => run.phase);
  const script = useRun((run) => run.script);
  const [again, setAgain] = useState<{ script: string; vpsIds: readonly string[] } | null>(null);
  const { data: fleet, error, refetch } = useQuery(fleetQuery());
  // What is over makes room for what was chosen since; what runs does not.
  const [showing, setShowing] = useState(phase === "running" || vpsIds.length === 0);
  const results = phase === "running" || (phase === "over" && showing);
  return (
    <Drawer
      open
      size="min(820px, 100vw)"
      title={t("run.title")}
      onClose={closeRunDrawer}
      styles={{ body: { padding: "16px 18px" } }}
    >
      {error && !fleet && <FailureNote error={error} onRetry={() => void refetch()} />}
      {results && (
        <RunResults
          onAgain={(ids) => {
            setAgain({ script, vpsIds: ids });
            setShowing(false);
            forgetRun();
          }}
        />
      )}
      {!results && fleet && (
        <RunForm
          fleet={fleet}
          vpsIds={again?.vpsIds ?? vpsIds}
          script={again?.script ?? ""}
          onStarted={() => setShowing(true)}
        />
      )}
    </Drawer>
  );
}
