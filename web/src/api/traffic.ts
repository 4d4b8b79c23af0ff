import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api } from "@/api/client";
import { answered } from "@/api/problem";
import type { components } from "@/api/schema.gen";

export type Traffic = components["schemas"]["Traffic"];
export type TrafficMonth = components["schemas"]["TrafficMonth"];
export type TrafficSettings = components["schemas"]["TrafficSettings"];
export type TrafficCorrectionCreate = components["schemas"]["TrafficCorrectionCreate"];
export type Counted = TrafficSettings["counted"];

export const trafficKeys = {
  of: (id: string) => ["traffic", id] as const,
};

export function fetchTraffic(id: string, months: number, signal: AbortSignal): Promise<Traffic> {
  const params = { path: { vps_id: id }, query: { months } };
  return answered(api.GET("/api/v1/vps/{vps_id}/traffic", { params, signal }));
}

export const trafficQuery = (id: string, months: number) =>
  queryOptions({
    queryKey: [...trafficKeys.of(id), months],
    queryFn: ({ signal }) => fetchTraffic(id, months, signal),
  });

export function usePutTrafficSettings(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: TrafficSettings) =>
      answered(
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
      answered(
        api.POST("/api/v1/vps/{vps_id}/traffic/corrections", {
          params: { path: { vps_id: id } },
          body,
        }),
      ),
    onSuccess: () => client.invalidateQueries({ queryKey: trafficKeys.of(id) }),
  });
}
