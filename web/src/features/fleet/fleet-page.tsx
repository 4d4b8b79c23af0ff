import { useSuspenseQuery } from "@tanstack/react-query";
import { Button, Segmented } from "antd";
import { useEffect, useMemo } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { useActable, useOrganisations } from "@/api/access";
import { fleetQuery } from "@/api/vps";
import { EmptyState } from "@/components/ui/empty-state";
import { Page } from "@/components/ui/page";
import { countByFilter } from "@/features/fleet/fleet-order";
import { FleetSearch } from "@/features/fleet/fleet-search";
import { FleetSort } from "@/features/fleet/fleet-sort";
import { FleetStrip } from "@/features/fleet/fleet-strip";
import { FleetTable } from "@/features/fleet/fleet-table";
import { startSelecting, stopSelecting, useSelection } from "@/features/fleet/selection";
import { SelectionBar } from "@/features/fleet/selection-bar";
import { ServerCards } from "@/features/fleet/server-cards";
import { useFleetView } from "@/features/fleet/use-fleet-view";
import { usePreferences } from "@/features/preferences/preferences";
import { liveStore } from "@/live/store";

export function FleetPage() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const { data: fleet } = useSuspenseQuery(fleetQuery());
  const view = usePreferences((preferences) => preferences.fleetView);
  const selecting = useSelection((selection) => selection.selecting);
  const mayAdd = useOrganisations("admin").length > 0;
  const mayRun = useActable(fleet).length > 0;
  const { shown, search, filter, sort, setSearch, setFilter, setSort, showAll } =
    useFleetView(fleet);

  useEffect(() => {
    for (const { latest } of fleet) if (latest) liveStore.add(latest);
    liveStore.sumNetworkRate(fleet.filter(({ status }) => status === "online").map(({ id }) => id));
  }, [fleet]);

  const counts = useMemo(() => countByFilter(fleet), [fleet]);
  const add = () => void navigate("/servers/new");
  const addButton = mayAdd && (
    <Button type="primary" onClick={add}>
      {t("action.addServer")}
    </Button>
  );

  if (fleet.length === 0) {
    return (
      <Page title={t("fleet.title")}>
        <EmptyState
          icon="server"
          title={t("fleet.emptyTitle")}
          text={t(mayAdd ? "fleet.emptyText" : "fleet.emptyViewer")}
        >
          {addButton}
        </EmptyState>
      </Page>
    );
  }

  const tools = (
    <>
      <FleetSearch value={search} onChange={setSearch} />
      {view === "cards" && <FleetSort sort={sort} onSort={setSort} />}
      <Segmented
        aria-label={t("fleet.view")}
        value={view}
        onChange={(fleetView) => usePreferences.setState({ fleetView })}
        options={[
          { value: "cards" as const, label: t("fleet.cards") },
          { value: "table" as const, label: t("fleet.table") },
        ]}
      />
      {mayRun && (
        <Button aria-pressed={selecting} onClick={selecting ? stopSelecting : startSelecting}>
          {t(selecting ? "run.selectDone" : "run.selectShort")}
        </Button>
      )}
      {addButton}
    </>
  );

  return (
    <Page title={t("fleet.title")} tools={tools}>
      <FleetStrip counts={counts} filter={filter} onFilter={setFilter} />
      {shown.length === 0 ? (
        <EmptyState
          icon="search"
          title={t("fleet.noMatchTitle")}
          text={t(filter === "all" ? "fleet.noMatchText" : "fleet.noMatchInFilter")}
        >
          <Button onClick={showAll}>{t("fleet.showAll")}</Button>
        </EmptyState>
      ) : view === "cards" ? (
        <ServerCards servers={shown} />
      ) : (
        <FleetTable servers={shown} sort={sort} onSort={setSort} />
      )}
      <SelectionBar shown={shown} />
    </Page>
  );
}
