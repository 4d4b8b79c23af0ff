import {
  infiniteQueryOptions,
  queryOptions,
  useMutation,
  useQueryClient,
} from "@tanstack/react-query";
import { api } from "@/api/client";
import { jsonLines } from "@/api/ndjson";
import { unwrap } from "@/api/problem";
import type { components } from "@/api/schema.gen";
import { UnreachableError } from "@/lib/described-error";

type Schemas = components["schemas"];

export type Run = Schemas["Run"];
export type RunServer = Schemas["RunServer"];
export type RunStatus = Run["status"];
export type RunCreate = Schemas["RunCreate"];
export type OutputLine = Schemas["OutputLine"];
export type ServerLine = Schemas["ServerLine"];
export type RunLine = OutputLine | ServerLine | Schemas["IdleLine"] | Schemas["RunLine"];

export const MAX_SERVERS = 200; // servers per run
export const MAX_SCRIPT_LENGTH = 65_536; // characters
export const MAX_TIMEOUT = 3_600; // seconds
export const DEFAULT_TIMEOUT = 60; // seconds

const PAGE = 20; // runs
const REFRESH_INTERVAL = 3_000; // ms, while a run has not ended

export const runKeys = {
  all: ["runs"] as const,
};

export function isUnfinished(status: RunStatus): boolean {
  return status === "queued" || status === "running";
}

// Runs on one server, newest first.
export const serverRunsQuery = (vpsId: string) =>
  infiniteQueryOptions({
    queryKey: [...runKeys.all, "of-server", vpsId],
    queryFn: ({ pageParam, signal }) =>
      unwrap(
        api.GET("/api/v1/runs", {
          params: { query: { server: vpsId, limit: PAGE, offset: pageParam } },
          signal,
        }),
      ),
    initialPageParam: 0,
    getNextPageParam: ({ items, total }, _pages, offset) =>
      items.length > 0 && offset + items.length < total ? offset + items.length : null,
    refetchInterval: ({ state: { data } }) =>
      data?.pages.some(({ items }) => items.some(({ status }) => isUnfinished(status)))
        ? REFRESH_INTERVAL
        : false,
  });

// One run without its output, which `followRun` brings.
export const runQuery = (id: string) =>
  queryOptions({
    queryKey: [...runKeys.all, "one", id],
    queryFn: ({ signal }) =>
      unwrap(
        api.GET("/api/v1/runs/{run_id}", {
          params: { path: { run_id: id }, query: { output: false } },
          signal,
        }),
      ),
  });

export function useStartRun() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: RunCreate) => unwrap(api.POST("/api/v1/runs", { body })),
    onSuccess: () => client.invalidateQueries({ queryKey: runKeys.all }),
  });
}

// Cancels a whole run, or a run on one server.
export function useCancelRun(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (vpsId: string | null) =>
      unwrap(
        vpsId === null
          ? api.DELETE("/api/v1/runs/{run_id}", { params: { path: { run_id: id } } })
          : api.DELETE("/api/v1/runs/{run_id}/servers/{vps_id}", {
              params: { path: { run_id: id, vps_id: vpsId } },
            }),
      ),
    onSettled: () => client.invalidateQueries({ queryKey: runKeys.all }),
  });
}

// The whole output that is kept of one server.
export async function readRunOutput(id: string, vpsId: string): Promise<string> {
  const result = await unwrap(
    api.GET("/api/v1/runs/{run_id}/servers/{vps_id}", {
      params: { path: { run_id: id, vps_id: vpsId } },
    }),
  );
  return result.output;
}

// Yields the lines of a run's output from `offset` on, until the run has ended. The last line of a
// run that has ended has the event "run".
export async function* followRun(
  id: string,
  offset: number,
  signal: AbortSignal,
): AsyncGenerator<RunLine> {
  const stream = await unwrap<ReadableStream<Uint8Array> | null>(
    api.GET("/api/v1/runs/{run_id}/output", {
      params: { path: { run_id: id }, query: { offset } },
      parseAs: "stream",
      signal,
    }),
  );
  if (!stream) return;
  try {
    yield* jsonLines<RunLine>(stream);
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new UnreachableError("the output broke off", { cause });
  }
}
