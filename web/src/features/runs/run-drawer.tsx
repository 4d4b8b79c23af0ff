import { useQuery } from "@tanstack/react-query";
import { Drawer } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useActable } from "@/api/access";
import { fleetQuery, type Vps } from "@/api/vps";
import { FailureNote } from "@/components/ui/failure-note";
import { useRunAddress } from "@/features/runs/run-address";
import { closeRunDrawer, useRunDrawer } from "@/features/runs/run-drawer-state";
import { RunForm } from "@/features/runs/run-form";
import { useFollowedRun } from "@/features/runs/run-store";
import { RunView } from "@/features/runs/run-view";

const NO_FLEET: readonly Vps[] = [];

export function RunDrawer() {
  const { t } = useTranslation();
  const vpsIds = useRunDrawer((drawer) => drawer.vpsIds);
  const [address, setAddress] = useRunAddress();
  const [again, setAgain] = useState<{ script: string; vpsIds: readonly string[] } | null>(null);
  const { data: fleet, error, refetch } = useQuery(fleetQuery());
  const actable = useActable(fleet ?? NO_FLEET);
  // If no server is selected, the drawer opens with the run that has not ended, and keeps showing it.
  const [resumed] = useState(() => {
    const { id, ended } = useFollowedRun.getState();
    return vpsIds.length === 0 && ended === null ? id : null;
  });
  const shown = address ?? (again === null ? resumed : null);
  const close = () => {
    closeRunDrawer();
    if (address !== null) setAddress(null);
  };
  return (
    <Drawer
      open
      size="min(820px, 100vw)"
      title={t(shown === null ? "run.title" : "run.one")}
      onClose={close}
      styles={{ body: { padding: "16px 18px" } }}
    >
      {error && !fleet && <FailureNote error={error} onRetry={() => void refetch()} />}
      {shown !== null && (
        <RunView
          key={shown}
          id={shown}
          fleet={fleet ?? []}
          onAgain={(script, ids) => {
            setAgain({ script, vpsIds: ids });
            setAddress(null);
          }}
        />
      )}
      {shown === null && fleet && (
        <RunForm
          fleet={actable}
          vpsIds={again?.vpsIds ?? vpsIds}
          script={again?.script ?? ""}
          onStarted={setAddress}
        />
      )}
    </Drawer>
  );
}
