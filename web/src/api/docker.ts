import { keepPreviousData, queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api } from "@/api/client";
import { jsonLines } from "@/api/ndjson";
import { unwrap } from "@/api/problem";
import type { components } from "@/api/schema.gen";

type Schemas = components["schemas"];
export type Container = Schemas["Container"];
export type ContainerDetails = Schemas["ContainerDetails"];
export type ContainerPage = Schemas["ContainerPage"];
export type ContainerLogLine = Schemas["LogLine"];
export type ContainerStats = Schemas["Stats"];
export type Image = Schemas["Image"];
export type PullEvent = Schemas["PullLine"];

export type ContainerAction =
  | "start"
  | "stop"
  | "restart"
  | "pause"
  | "unpause"
  | "kill"
  | "remove";

const ROOT = "/api/v1/vps/{vps_id}/docker";
const CONTAINER = `${ROOT}/containers/{cid}` as const;

export const dockerKeys = {
  all: (id: string) => ["docker", id] as const,
  containers: (id: string) => [...dockerKeys.all(id), "containers"] as const,
  container: (id: string, cid: string) => [...dockerKeys.all(id), "container", cid] as const,
  stats: (id: string, cid: string) => [...dockerKeys.all(id), "stats", cid] as const,
  images: (id: string) => [...dockerKeys.all(id), "images"] as const,
  acts: (id: string) => ["docker-act", id] as const,
};

export const containersQuery = (id: string) =>
  queryOptions({
    queryKey: dockerKeys.containers(id),
    queryFn: ({ signal }) =>
      unwrap(api.GET(`${ROOT}/containers`, { params: { path: { vps_id: id } }, signal })),
  });

export const containerQuery = (id: string, cid: string) =>
  queryOptions({
    queryKey: dockerKeys.container(id, cid),
    queryFn: ({ signal }) =>
      unwrap(api.GET(CONTAINER, { params: { path: { vps_id: id, cid } }, signal })),
  });

export const containerStatsQuery = (
  id: string,
  cid: string,
  query: { start: string; end: string },
) =>
  queryOptions({
    queryKey: [...dockerKeys.stats(id, cid), query],
    queryFn: ({ signal }) =>
      unwrap(
        api.GET(`${CONTAINER}/stats`, { params: { path: { vps_id: id, cid }, query }, signal }),
      ),
    placeholderData: keepPreviousData,
  });

export const imagesQuery = (id: string) =>
  queryOptions({
    queryKey: dockerKeys.images(id),
    queryFn: ({ signal }) =>
      unwrap(api.GET(`${ROOT}/images`, { params: { path: { vps_id: id } }, signal })),
  });

export function fetchContainerLogs(
  id: string,
  cid: string,
  query: { tail: number; since?: string },
) {
  return unwrap(api.GET(`${CONTAINER}/logs`, { params: { path: { vps_id: id, cid }, query } }));
}

export interface ContainerActionRequest {
  cid: string;
  act: ContainerAction;
}

async function carryOut(
  id: string,
  { cid, act }: ContainerActionRequest,
): Promise<Container | null> {
  const path = { vps_id: id, cid };
  if (act === "remove") {
    await unwrap(api.DELETE(CONTAINER, { params: { path, query: { force: true } } }));
    return null;
  }
  return unwrap(api.POST(`${CONTAINER}/{action}`, { params: { path: { ...path, action: act } } }));
}

export function useContainerAction(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationKey: dockerKeys.acts(id),
    mutationFn: (request: ContainerActionRequest) => carryOut(id, request),
    onSuccess: async (now, { cid }) => {
      await client.cancelQueries({ queryKey: dockerKeys.containers(id) });
      client.setQueryData(containersQuery(id).queryKey, (list) => {
        if (!list) return list;
        if (!now) return { ...list, items: list.items.filter((one) => one.id !== cid) };
        return {
          ...list,
          items: list.items.map((one) => (one.id === cid ? { ...one, ...now } : one)),
        };
      });
      if (now) await client.invalidateQueries({ queryKey: dockerKeys.container(id, cid) });
    },
    onSettled: () => void client.invalidateQueries({ queryKey: dockerKeys.containers(id) }),
  });
}

export function useRemoveImage(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (image: { id: string; force: boolean }) =>
      unwrap(
        api.DELETE(`${ROOT}/images/{image_id}`, {
          params: { path: { vps_id: id, image_id: image.id }, query: { force: image.force } },
        }),
      ),
    onSettled: () => void client.invalidateQueries({ queryKey: dockerKeys.images(id) }),
  });
}

export function usePruneImages(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () =>
      unwrap(api.POST(`${ROOT}/images/prune`, { params: { path: { vps_id: id } } })),
    onSettled: () => void client.invalidateQueries({ queryKey: dockerKeys.images(id) }),
  });
}

export async function* pullImage(
  id: string,
  reference: string,
  signal: AbortSignal,
): AsyncGenerator<PullEvent> {
  const stream = await unwrap<ReadableStream<Uint8Array> | null>(
    api.POST(`${ROOT}/images/pull`, {
      params: { path: { vps_id: id } },
      body: { reference },
      parseAs: "stream",
      signal,
    }),
  );
  if (stream) yield* jsonLines<PullEvent>(stream);
}
