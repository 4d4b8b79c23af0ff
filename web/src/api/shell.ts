import {
  infiniteQueryOptions,
  queryOptions,
  useMutation,
  useQueryClient,
} from "@tanstack/react-query";
import { api } from "@/api/client";
import { answered } from "@/api/problem";
import type { components } from "@/api/schema.gen";
import { addressOf, createTicket } from "@/api/tickets";

export type ShellSession = components["schemas"]["ShellSession"];

export const shellKeys = {
  of: (vpsId: string) => ["shell-sessions", vpsId] as const,
  recording: (id: string) => ["shell-recording", id] as const,
};

const NEWEST = 50; // sessions; fewer can run on one server at a time, and those come first
const PAGE = 20; // sessions
const REFRESH = 5_000; // ms

function fetchSessions(vpsId: string, limit: number, offset: number, signal: AbortSignal) {
  const params = { path: { vps_id: vpsId }, query: { limit, offset } };
  return answered(api.GET("/api/v1/vps/{vps_id}/shell-sessions", { params, signal }));
}

// The newest of a server, those that run among them.
export const sessionsQuery = (vpsId: string) =>
  queryOptions({
    queryKey: [...shellKeys.of(vpsId), "newest"],
    queryFn: async ({ signal }) => (await fetchSessions(vpsId, NEWEST, 0, signal)).items,
    refetchInterval: REFRESH,
  });

export const pastSessionsQuery = (vpsId: string) =>
  infiniteQueryOptions({
    queryKey: [...shellKeys.of(vpsId), "past"],
    queryFn: ({ pageParam, signal }) => fetchSessions(vpsId, PAGE, pageParam, signal),
    initialPageParam: 0,
    getNextPageParam: ({ items, total }, _pages, offset) =>
      items.length > 0 && offset + items.length < total ? offset + items.length : null,
  });

// What the server knows of a session by now; null when it is not there, or somebody else's.
export async function findSession(vpsId: string, id: string): Promise<ShellSession | null> {
  const page = await fetchSessions(vpsId, NEWEST, 0, AbortSignal.timeout(10_000));
  return page.items.find((session) => session.id === id) ?? null;
}

export function useEndSession(vpsId: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) =>
      answered(
        api.DELETE("/api/v1/shell-sessions/{session_id}", { params: { path: { session_id: id } } }),
      ),
    onSettled: () => client.invalidateQueries({ queryKey: shellKeys.of(vpsId) }),
  });
}

export function fetchRecording(id: string, signal?: AbortSignal): Promise<string> {
  return answered<string>(
    api.GET("/api/v1/shell-sessions/{session_id}/recording", {
      params: { path: { session_id: id } },
      parseAs: "text",
      ...(signal && { signal }),
    }),
  );
}

export const recordingQuery = (id: string) =>
  queryOptions({
    queryKey: shellKeys.recording(id),
    queryFn: ({ signal }) => fetchRecording(id, signal),
    staleTime: Number.POSITIVE_INFINITY,
    // A recording may be large; it is not kept once it is closed.
    gcTime: 0,
  });

export interface ShellRequest {
  session: string | null;
  container: string | null;
  observe: boolean;
  columns: number;
  rows: number;
}

// The address of a server's shell, with a ticket that opens it once.
export async function shellAddress(vpsId: string, request: ShellRequest): Promise<string> {
  const { session, container, observe, columns, rows } = request;
  const resource = `vps/${vpsId}/shell` as const;
  return addressOf(resource, await createTicket(resource), {
    ...(session !== null && { session }),
    ...(container !== null && { container }),
    ...(observe && { observe: "1" }),
    columns: String(columns),
    rows: String(rows),
  });
}
