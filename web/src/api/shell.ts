import {
  infiniteQueryOptions,
  queryOptions,
  useMutation,
  useQueryClient,
} from "@tanstack/react-query";
import { api } from "@/api/client";
import { unwrap } from "@/api/problem";
import type { components } from "@/api/schema.gen";

export type ShellSession = components["schemas"]["ShellSession"];

export const shellKeys = {
  of: (vpsId: string) => ["shell-sessions", vpsId] as const,
  recording: (id: string) => ["shell-recording", id] as const,
};

const NEWEST = 50; // sessions; a server runs fewer at a time, and running ones come first
const PAGE = 20; // sessions
const REFRESH_INTERVAL = 5_000; // ms

function fetchSessions(vpsId: string, limit: number, offset: number, signal: AbortSignal) {
  const params = { path: { vps_id: vpsId }, query: { limit, offset } };
  return unwrap(api.GET("/api/v1/vps/{vps_id}/shell-sessions", { params, signal }));
}

// The newest sessions of a server, including all that are running.
export const sessionsQuery = (vpsId: string) =>
  queryOptions({
    queryKey: [...shellKeys.of(vpsId), "newest"],
    queryFn: async ({ signal }) => (await fetchSessions(vpsId, NEWEST, 0, signal)).items,
    refetchInterval: REFRESH_INTERVAL,
  });

export const pastSessionsQuery = (vpsId: string) =>
  infiniteQueryOptions({
    queryKey: [...shellKeys.of(vpsId), "past"],
    queryFn: ({ pageParam, signal }) => fetchSessions(vpsId, PAGE, pageParam, signal),
    initialPageParam: 0,
    getNextPageParam: ({ items, total }, _pages, offset) =>
      items.length > 0 && offset + items.length < total ? offset + items.length : null,
  });

// Find a session by its id. Returns null if it does not exist or belongs to another user.
export async function findSession(vpsId: string, id: string): Promise<ShellSession | null> {
  const page = await fetchSessions(vpsId, NEWEST, 0, AbortSignal.timeout(10_000));
  return page.items.find((session) => session.id === id) ?? null;
}

export function useEndSession(vpsId: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) =>
      unwrap(
        api.DELETE("/api/v1/shell-sessions/{session_id}", { params: { path: { session_id: id } } }),
      ),
    onSettled: () => client.invalidateQueries({ queryKey: shellKeys.of(vpsId) }),
  });
}

export function fetchRecording(id: string, signal?: AbortSignal): Promise<string> {
  return unwrap<string>(
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
    // A recording may be large, so it is dropped when the player closes.
    gcTime: 0,
  });
