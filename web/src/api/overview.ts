import { queryOptions } from "@tanstack/react-query";
import { api } from "@/api/client";
import { unwrap } from "@/api/problem";
import type { components } from "@/api/schema.gen";
import { vpsKeys } from "@/api/vps";

export type ServerOverview = components["schemas"]["ServerOverview"];
export type PeriodTraffic = components["schemas"]["PeriodTraffic"];

const PAGE = 1_000; // servers per request
const REFRESH = 60_000; // ms; the overview has a value per minute

async function fetchOverview(signal: AbortSignal): Promise<ReadonlyMap<string, ServerOverview>> {
  const found = new Map<string, ServerOverview>();
  for (;;) {
    const query = { limit: PAGE, offset: found.size };
    const page = await unwrap(api.GET("/api/v1/fleet/overview", { params: { query }, signal }));
    for (const server of page.items) found.set(server.vps_id, server);
    if (found.size >= page.total || page.items.length === 0) return found;
  }
}

// The last hour and the traffic of every server.
export const overviewQuery = () =>
  queryOptions({
    queryKey: [...vpsKeys.all, "overview"],
    queryFn: ({ signal }) => fetchOverview(signal),
    staleTime: REFRESH,
    refetchInterval: REFRESH,
  });
