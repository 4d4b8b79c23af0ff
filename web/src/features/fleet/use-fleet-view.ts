import { useDeferredValue, useEffect, useMemo, useState } from "react";
import { useSearchParams } from "react-router";
import type { Vps } from "@/api/vps";
import {
  COLUMNS,
  type Filter,
  filterServers,
  firstDirection,
  type Sort,
  sortServers,
} from "@/features/fleet/fleet-order";
import { liveStore } from "@/live/store";

const FILTERS: readonly Filter[] = ["all", "online", "offline", "waiting"];
const RESORT = 5_000; // ms between sorts by figures that change all the time

export interface FleetView {
  shown: readonly Vps[];
  search: string;
  filter: Filter;
  sort: Sort;
  setSearch: (search: string) => void;
  setFilter: (filter: Filter) => void;
  setSort: (sort: Sort) => void;
  showAll: () => void;
}

// The servers that the page shows, and their order. The choice is part of the address, so that a link
// and the browser's back button show the same servers.
export function useFleetView(fleet: readonly Vps[]): FleetView {
  const [params, setParams] = useSearchParams();
  const search = params.get("search") ?? "";
  const filter = FILTERS.find((name) => name === params.get("show")) ?? "all";
  const by = COLUMNS.find((name) => name === params.get("sort")) ?? "state";
  const order = params.get("order");
  const descending = order === null ? firstDirection(by).descending : order === "desc";
  const wanted = useDeferredValue(search);

  const changes = by !== "state" && by !== "name";
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!changes) return undefined;
    const timer = setInterval(() => setTurn((last) => last + 1), RESORT);
    return () => clearInterval(timer);
  }, [changes]);

  const found = useMemo(() => filterServers(fleet, filter, wanted), [fleet, filter, wanted]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: live figures are sorted again at each turn
  const shown = useMemo(
    () => sortServers(found, { by, descending }, (id) => liveStore.get(id)?.sample),
    [found, by, descending, turn],
  );

  const set = (name: string, value: string) =>
    setParams(
      (before) => {
        if (value === "") before.delete(name);
        else before.set(name, value);
        return before;
      },
      { replace: true, preventScrollReset: true },
    );
  return {
    shown,
    search,
    filter,
    sort: { by, descending },
    setSearch: (text) => set("search", text),
    setFilter: (name) => set("show", name === "all" ? "" : name),
    setSort: (sort) => {
      const usual = firstDirection(sort.by).descending === sort.descending;
      setParams(
        (before) => {
          before.set("sort", sort.by);
          if (usual) before.delete("order");
          else before.set("order", sort.descending ? "desc" : "asc");
          return before;
        },
        { replace: true, preventScrollReset: true },
      );
    },
    showAll: () =>
      setParams(
        (before) => {
          before.delete("search");
          before.delete("show");
          return before;
        },
        { replace: true },
      ),
  };
}
