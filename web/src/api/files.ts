import { queryOptions, useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import { api } from "@/api/client";
import { answered } from "@/api/problem";
import type { components } from "@/api/schema.gen";

type Schemas = components["schemas"];
export type FileEntry = Schemas["FileEntry"];
export type FileListing = Schemas["FileListing"];
export type FileContent = Schemas["FileContent"];
type Move = Required<Schemas["FileMove"]>;

const ROOT = "/api/v1/vps/{vps_id}/files";

export const fileKeys = {
  all: (id: string) => ["files", id] as const,
  list: (id: string, path: string) => [...fileKeys.all(id), "list", path] as const,
};

export const filesQuery = (id: string, path: string) =>
  queryOptions({
    queryKey: fileKeys.list(id, path),
    queryFn: ({ signal }): Promise<FileListing> =>
      answered(api.GET(ROOT, { params: { path: { vps_id: id }, query: { path } }, signal })),
  });

export const checksumQuery = (id: string, path: string) =>
  queryOptions({
    queryKey: [...fileKeys.all(id), "checksum", path],
    queryFn: ({ signal }) => checksumOf(id, path, signal),
    staleTime: Number.POSITIVE_INFINITY,
    // The file may be another the next time that somebody asks.
    gcTime: 0,
  });

// SHA-256, in hexadecimal digits.
export async function checksumOf(id: string, path: string, signal: AbortSignal): Promise<string> {
  const params = { path: { vps_id: id }, query: { path } };
  return (await answered(api.GET(`${ROOT}/checksum`, { params, signal }))).sha256;
}

export function fetchEntry(id: string, path: string, signal?: AbortSignal): Promise<FileEntry> {
  const params = { path: { vps_id: id }, query: { path } };
  return answered(api.GET(`${ROOT}/stat`, { params, ...(signal && { signal }) }));
}

export function fetchContent(id: string, path: string, signal?: AbortSignal): Promise<FileContent> {
  const params = { path: { vps_id: id }, query: { path } };
  return answered(api.GET(`${ROOT}/content`, { params, ...(signal && { signal }) }));
}

// `version` null: it must not be there yet.
export function putContent(
  id: string,
  path: string,
  body: { content: string; version: string | null },
): Promise<FileEntry> {
  const params = { path: { vps_id: id }, query: { path } };
  return answered(api.PUT(`${ROOT}/content`, { params, body }));
}

// Each as a function of one path, so that several can be done one after the other.
export const fileActs = {
  makeFolder: (id: string, path: string): Promise<FileEntry> =>
    answered(api.POST(`${ROOT}/mkdir`, { params: { path: { vps_id: id } }, body: { path } })),
  rename: (id: string, body: Move): Promise<FileEntry> =>
    answered(api.POST(`${ROOT}/rename`, { params: { path: { vps_id: id } }, body })),
  copy: (id: string, body: Move): Promise<FileEntry> =>
    answered(api.POST(`${ROOT}/copy`, { params: { path: { vps_id: id } }, body })),
  changeMode: (
    id: string,
    body: { path: string; mode: number; recursive: boolean },
  ): Promise<FileEntry> =>
    answered(api.POST(`${ROOT}/chmod`, { params: { path: { vps_id: id } }, body })),
  changeOwner: (
    id: string,
    body: { path: string; owner: string; group: string; recursive: boolean },
  ): Promise<FileEntry> =>
    answered(api.POST(`${ROOT}/chown`, { params: { path: { vps_id: id } }, body })),
  archive: (id: string, body: Required<Schemas["FileArchive"]>): Promise<FileEntry> =>
    answered(api.POST(`${ROOT}/archive`, { params: { path: { vps_id: id } }, body })),
  extract: (id: string, body: Move): Promise<FileEntry> =>
    answered(api.POST(`${ROOT}/extract`, { params: { path: { vps_id: id } }, body })),
  remove: (id: string, path: string, recursive: boolean): Promise<void> =>
    answered(api.DELETE(ROOT, { params: { path: { vps_id: id }, query: { path, recursive } } })),
};

// An address from which the browser itself downloads, good for a while.
export async function downloadAddress(id: string, path: string): Promise<string> {
  const { ticket } = await answered<{ ticket: string }>(
    api.POST(`${ROOT}/download-tickets`, { params: { path: { vps_id: id } }, body: { path } }),
  );
  const url = new URL(`/api/v1/vps/${id}/files/download`, window.location.href);
  url.search = new URLSearchParams({ path, ticket }).toString();
  return url.href;
}

export function useRefreshFiles(id: string): () => Promise<void> {
  const client = useQueryClient();
  return useCallback(
    () => client.invalidateQueries({ queryKey: [...fileKeys.all(id), "list"] }),
    [client, id],
  );
}
