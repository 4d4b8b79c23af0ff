import { useSuspenseQuery } from "@tanstack/react-query";
import { Button, Segmented } from "antd";
import { useDeferredValue, useEffect, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate, useSearchParams } from "react-router";
import { fleetQuery } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { Page } from "@/components/ui/page";
import { arrange, countByFilter, type Filter } from "@/features/fleet/fleet-order";
import { FleetSearch } from "@/features/fleet/fleet-search";
import { FleetStrip } from "@/features/fleet/fleet-strip";
import { FleetTable } from "@/features/fleet/fleet-table";
import { SelectionBar } from "@/features/fleet/selection-bar";
import { ServerCards } from "@/features/fleet/server-cards";
import { liveStore } from "@/lib/live-store";
import { usePreferences } from "@/lib/preferences";
import { startSelecting, stopSelecting, useSelection } from "@/lib/selection";

const FILTERS: readonly Filter[] = ["all", "online", "offline", "waiting"];

export function FleetPage() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { data: fleet } = useSuspenseQuery(fleetQuery());
  const view = usePreferences((preferences) => preferences.fleetView);
  const selecting = useSelection((selection) => selection.selecting);
  const [params, setParams] = useSearchParams();
  const [search, setSearch] = useState("");
  const wanted = useDeferredValue(search);
  const filter = FILTERS.find((name) => name === params.get("show")) ?? "all";

  useEffect(() => {
    for (const { latest } of fleet) if (latest) liveStore.add(latest);
    liveStore.sumTraffic(fleet.filter(({ status }) => status === "online").map(({ id }) => id));
  }, [fleet]);

  const counts = useMemo(() => countByFilter(fleet), [fleet]);
  const shown = useMemo(() => arrange(fleet, filter, wanted), [fleet, filter, wanted]);
  const add = () => void navigate("/servers/new");
  const addButton = (
    <Button type="primary" onClick={add}>
      {t("action.addServer")}
    </Button>
  );

  if (fleet.length === 0) {
    return (
      <Page title={t("fleet.title")}>
        <EmptyState icon="server" title={t("fleet.emptyTitle")} text={t("fleet.emptyText")}>
          {addButton}
        </EmptyState>
      </Page>
    );
  }

  const tools = (
    <>
      <FleetSearch value={search} onChange={setSearch} />
      <Segmented
        aria-label={t("fleet.view")}
        value={view}
        onChange={(fleetView) => usePreferences.setState({ fleetView })}
        options={[
          { value: "cards" as const, label: t("fleet.cards") },
          { value: "table" as const, label: t("fleet.table") },
        ]}
      />
      <Button aria-pressed={selecting} onClick={selecting ? stopSelecting : startSelecting}>
        {t(selecting ? "run.selectDone" : "run.selectShort")}
      </Button>
      {addButton}
    </>
  );

  return (
    <Page title={t("fleet.title")} tools={tools}>
      <FleetStrip
        counts={counts}
        filter={filter}
        onFilter={(show) => setParams(show === "all" ? {} : { show }, { replace: true })}
      />
      {shown.length === 0 ? (
        <EmptyState icon="search" title={t("fleet.noMatchTitle")} text={t("fleet.noMatchText")}>
          <Button
            onClick={() => {
              setSearch("");
              setParams({}, { replace: true });
            }}
          >
            {t("fleet.showAll")}
          </Button>
        </EmptyState>
      ) : view === "cards" ? (
        <ServerCards servers={shown} />
      ) : (
        <FleetTable servers={shown} />
      )}
      <SelectionBar shown={shown} />
    </Page>
  );
}
