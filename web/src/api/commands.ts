import {
  infiniteQueryOptions,
  queryOptions,
  useMutation,
  useQueryClient,
} from "@tanstack/react-query";
import { api } from "@/api/client";
import { jsonLines } from "@/api/ndjson";
import { answered } from "@/api/problem";
import type { components } from "@/api/schema.gen";

export type Command = components["schemas"]["Command"];
export type CommandLine = components["schemas"]["CommandLine"];
export type FanOut = components["schemas"]["FanOut"];

export const MOST_SERVERS = 200; // a run
export const LONGEST_SCRIPT = 65_536; // characters
export const LONGEST_TIMEOUT = 3_600; // seconds
export const DEFAULT_TIMEOUT = 60; // seconds

const PAGE = 20; // commands
const REFRESH = 3_000; // ms, while one of them runs

export const commandKeys = {
  of: (vpsId: string) => ["commands", vpsId] as const,
};

export const commandsQuery = (vpsId: string) =>
  infiniteQueryOptions({
    queryKey: [...commandKeys.of(vpsId), "past"],
    queryFn: ({ pageParam, signal }) =>
      answered(
        api.GET("/api/v1/vps/{vps_id}/commands", {
          params: { path: { vps_id: vpsId }, query: { limit: PAGE, offset: pageParam } },
          signal,
        }),
      ),
    initialPageParam: 0,
    getNextPageParam: ({ items, total }, _pages, offset) =>
      items.length > 0 && offset + items.length < total ? offset + items.length : null,
    refetchInterval: ({ state: { data } }) =>
      data?.pages.some(({ items }) => items.some(({ status }) => status === "running"))
        ? REFRESH
        : false,
  });

export const commandQuery = ({ vps_id, id, status }: Command) =>
  queryOptions({
    queryKey: [...commandKeys.of(vps_id), id, status],
    queryFn: ({ signal }) =>
      answered(
        api.GET("/api/v1/vps/{vps_id}/commands/{command_id}", {
          params: { path: { vps_id, command_id: id } },
          signal,
        }),
      ),
  });

export function cancelCommand(vpsId: string, id: string): Promise<unknown> {
  return answered(
    api.DELETE("/api/v1/vps/{vps_id}/commands/{command_id}", {
      params: { path: { vps_id: vpsId, command_id: id } },
    }),
  );
}

export function useCancelCommand(vpsId: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => cancelCommand(vpsId, id),
    onSettled: () => client.invalidateQueries({ queryKey: commandKeys.of(vpsId) }),
  });
}

// What each server says, as it says it. Servers whose turn has not come when the signal is given
// are never asked.
export async function* runOnMany(body: FanOut, signal: AbortSignal): AsyncGenerator<CommandLine> {
  const stream = await answered<ReadableStream<Uint8Array> | null>(
    api.POST("/api/v1/commands", { body, parseAs: "stream", signal }),
  );
  if (stream) yield* jsonLines<CommandLine>(stream);
}
