import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api } from "@/api/client";
import { unwrap } from "@/api/problem";
import type { components } from "@/api/schema.gen";

export type Series = components["schemas"]["Series"];
export type SeriesHistory = components["schemas"]["SeriesHistory"];
export type DiskHistory = components["schemas"]["DiskHistory"];
interface Window {
  start: string;
  end: string;
}

const SERIES = "/api/v1/vps/{vps_id}/series";

export const seriesKeys = {
  all: (id: string) => ["series", id] as const,
  list: (id: string) => [...seriesKeys.all(id), "list"] as const,
  history: (id: string, series: number) => [...seriesKeys.all(id), "history", series] as const,
  disks: (id: string) => [...seriesKeys.all(id), "disks"] as const,
};

export const seriesQuery = (id: string) =>
  queryOptions({
    queryKey: seriesKeys.list(id),
    queryFn: ({ signal }) => unwrap(api.GET(SERIES, { params: { path: { vps_id: id } }, signal })),
  });

export const seriesHistoryQuery = (id: string, series: number, query: Window) =>
  queryOptions({
    queryKey: [...seriesKeys.history(id, series), query],
    queryFn: ({ signal }) =>
      unwrap(
        api.GET(`${SERIES}/{series_id}/historical`, {
          params: { path: { vps_id: id, series_id: series }, query },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
  });

export const diskHistoryQuery = (id: string, query: Window) =>
  queryOptions({
    queryKey: [...seriesKeys.disks(id), query],
    queryFn: ({ signal }) =>
      unwrap(
        api.GET("/api/v1/vps/{vps_id}/disks/historical", {
          params: { path: { vps_id: id }, query },
          signal,
        }),
      ),
    placeholderData: keepPreviousData,
  });
