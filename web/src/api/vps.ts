import {
  keepPreviousData,
  type QueryClient,
  queryOptions,
  useMutation,
  useQueryClient,
} from "@tanstack/react-query";
import { api } from "@/api/client";
import { unwrap } from "@/api/problem";
import type { components, operations } from "@/api/schema.gen";

export type Vps = components["schemas"]["Vps"];
export type VpsStatus = Vps["status"];
export type Permissions = components["schemas"]["Powers"];
export type RequestedPermissions = Required<components["schemas"]["WantedPowers"]>;
export type VpsUpdate = components["schemas"]["VpsUpdate"];
export type Enrolment = components["schemas"]["Enrolment"];
export type Sample = components["schemas"]["Sample"];
export type SampleDetail = components["schemas"]["Detail"];
export type History = components["schemas"]["History"];
export type Gap = components["schemas"]["Gap"];
export type AgentConfig = components["schemas"]["AgentConfig"];
type HistoryParams = NonNullable<operations["history"]["parameters"]["query"]>;

export const vpsKeys = {
  all: ["vps"] as const,
  list: () => [...vpsKeys.all, "list"] as const,
  detail: (id: string) => [...vpsKeys.all, "detail", id] as const,
  history: (id: string) => [...vpsKeys.all, "history", id] as const,
  gaps: (id: string) => [...vpsKeys.all, "gaps", id] as const,
};

const PAGE = 500; // servers per request

async function fetchFleet(signal: AbortSignal): Promise<Vps[]> {
  const fleet: Vps[] = [];
  for (;;) {
    const query = { limit: PAGE, offset: fleet.length };
    const page = await unwrap(api.GET("/api/v1/vps", { params: { query }, signal }));
    fleet.push(...page.items);
    if (fleet.length >= page.total || page.items.length === 0) return fleet;
  }
}

export const fleetQuery = () =>
  queryOptions({ queryKey: vpsKeys.list(), queryFn: ({ signal }) => fetchFleet(signal) });

export const vpsQuery = (id: string) =>
  queryOptions({
    queryKey: vpsKeys.detail(id),
    queryFn: ({ signal }) =>
      unwrap(api.GET("/api/v1/vps/{vps_id}", { params: { path: { vps_id: id } }, signal })),
  });

export function fetchHistory(
  id: string,
  query: HistoryParams,
  signal: AbortSignal,
): Promise<History> {
  const params = { path: { vps_id: id }, query };
  return unwrap(api.GET("/api/v1/vps/{vps_id}/metrics/historical", { params, signal }));
}

export const historyQuery = (id: string, query: HistoryParams) =>
  queryOptions({
    queryKey: [...vpsKeys.history(id), query],
    queryFn: ({ signal }) => fetchHistory(id, query, signal),
    placeholderData: keepPreviousData,
  });

export const gapsQuery = (id: string, query: { start: string; end: string }) =>
  queryOptions({
    queryKey: [...vpsKeys.gaps(id), query],
    queryFn: ({ signal }) =>
      unwrap(
        api.GET("/api/v1/vps/{vps_id}/gaps", { params: { path: { vps_id: id }, query }, signal }),
      ),
    placeholderData: keepPreviousData,
  });

// Update a server in every cached query, without a request.
export function patchVps(client: QueryClient, id: string, change: Partial<Vps>): void {
  client.setQueryData(vpsQuery(id).queryKey, (vps) => vps && { ...vps, ...change });
  client.setQueryData(fleetQuery().queryKey, (fleet) =>
    fleet?.map((vps) => (vps.id === id ? { ...vps, ...change } : vps)),
  );
}

export function useCreateVps() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: {
      name: string;
      powers: RequestedPermissions;
      organisation_id: string | null;
    }) => unwrap(api.POST("/api/v1/vps", { body })),
    onSuccess: () => client.invalidateQueries({ queryKey: vpsKeys.list() }),
  });
}

export function useRenewEnrolment(id: string) {
  return useMutation({
    mutationFn: (powers: RequestedPermissions) =>
      unwrap(
        api.POST("/api/v1/vps/{vps_id}/enrolment", {
          params: { path: { vps_id: id } },
          body: { powers },
        }),
      ),
  });
}

export function useUpdateVps(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (change: VpsUpdate) =>
      unwrap(api.PATCH("/api/v1/vps/{vps_id}", { params: { path: { vps_id: id } }, body: change })),
    onSuccess: (vps) => patchVps(client, id, vps),
  });
}

export function useDeleteVps(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () =>
      unwrap(api.DELETE("/api/v1/vps/{vps_id}", { params: { path: { vps_id: id } } })),
    onSuccess: () => {
      client.setQueryData(fleetQuery().queryKey, (fleet) => fleet?.filter((vps) => vps.id !== id));
      client.removeQueries({ queryKey: vpsKeys.detail(id) });
      client.removeQueries({ queryKey: vpsKeys.history(id) });
      client.removeQueries({ queryKey: vpsKeys.gaps(id) });
    },
  });
}
