import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api } from "@/api/client";
import { unwrap } from "@/api/problem";
import type { components } from "@/api/schema.gen";

export type Traffic = components["schemas"]["Traffic"];
export type TrafficMonth = components["schemas"]["TrafficMonth"];
export type TrafficDay = components["schemas"]["TrafficDay"];
export type TrafficSettings = components["schemas"]["TrafficSettings"];
export type TrafficCorrectionCreate = components["schemas"]["TrafficCorrectionCreate"];
export type Counted = TrafficSettings["counted"];

export const trafficKeys = {
  of: (id: string) => ["traffic", id] as const,
};

export function fetchTraffic(id: string, months: number, signal: AbortSignal): Promise<Traffic> {
  const params = { path: { vps_id: id }, query: { months } };
  return unwrap(api.GET("/api/v1/vps/{vps_id}/traffic", { params, signal }));
}

export const trafficQuery = (id: string, months: number) =>
  queryOptions({
    queryKey: [...trafficKeys.of(id), months],
    queryFn: ({ signal }) => fetchTraffic(id, months, signal),
  });

// The measured traffic of each day of a period, which is named by its month.
export const trafficDaysQuery = (id: string, month: string) =>
  queryOptions({
    queryKey: [...trafficKeys.of(id), "days", month],
    queryFn: ({ signal }) =>
      unwrap(
        api.GET("/api/v1/vps/{vps_id}/traffic/days", {
          params: { path: { vps_id: id }, query: { month } },
          signal,
        }),
      ),
  });

export function usePutTrafficSettings(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: TrafficSettings) =>
      unwrap(
        api.PUT("/api/v1/vps/{vps_id}/traffic/settings", {
          params: { path: { vps_id: id } },
          body,
        }),
      ),
    onSuccess: () => client.invalidateQueries({ queryKey: trafficKeys.of(id) }),
  });
}

export function useCorrectTraffic(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: TrafficCorrectionCreate) =>
      unwrap(
        api.POST("/api/v1/vps/{vps_id}/traffic/corrections", {
          params: { path: { vps_id: id } },
          body,
        }),
      ),
    onSuccess: () => client.invalidateQueries({ queryKey: trafficKeys.of(id) }),
  });
}
