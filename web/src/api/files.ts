import { queryOptions, useQueryClient } from "@tanstack/react-query";
import { useCallback } from "react";
import { api } from "@/api/client";
import { isProblem, unwrap } from "@/api/problem";
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
      unwrap(api.GET(ROOT, { params: { path: { vps_id: id }, query: { path } }, signal })),
  });

export const checksumQuery = (id: string, path: string) =>
  queryOptions({
    queryKey: [...fileKeys.all(id), "checksum", path],
    queryFn: ({ signal }) => checksumOf(id, path, signal),
    staleTime: Number.POSITIVE_INFINITY,
    // The file may have changed when the dialog is opened again.
    gcTime: 0,
  });

// Returns the SHA-256 as hexadecimal digits.
export async function checksumOf(id: string, path: string, signal: AbortSignal): Promise<string> {
  const params = { path: { vps_id: id }, query: { path } };
  return (await unwrap(api.GET(`${ROOT}/checksum`, { params, signal }))).sha256;
}

export const entryQuery = (id: string, path: string) =>
  queryOptions({
    queryKey: [...fileKeys.all(id), "entry", path],
    queryFn: ({ signal }) => fetchEntry(id, path, signal),
  });

export function fetchEntry(id: string, path: string, signal?: AbortSignal): Promise<FileEntry> {
  const params = { path: { vps_id: id }, query: { path } };
  return unwrap(api.GET(`${ROOT}/stat`, { params, ...(signal && { signal }) }));
}

function fetchContent(id: string, path: string, signal?: AbortSignal): Promise<FileContent> {
  const params = { path: { vps_id: id }, query: { path } };
  return unwrap(api.GET(`${ROOT}/content`, { params, ...(signal && { signal }) }));
}

// Read once when the editor opens: a text that is being edited must not be replaced.
export const contentQuery = (id: string, path: string) =>
  queryOptions({
    queryKey: [...fileKeys.all(id), "content", path],
    queryFn: ({ signal }) => fetchContent(id, path, signal),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
  });

// Write a text file. With `version` null the file must not exist yet.
export function putContent(
  id: string,
  path: string,
  body: { content: string; version: string | null },
): Promise<FileEntry> {
  const params = { path: { vps_id: id }, query: { path } };
  return unwrap(api.PUT(`${ROOT}/content`, { params, body }));
}

export type SaveOutcome = { saved: FileEntry } | { conflict: FileContent };

// Save a text over the version that was read. If the file has changed since, nothing is saved and
// the outcome holds its present content.
export async function saveContent(
  id: string,
  path: string,
  draft: { content: string; version: string },
): Promise<SaveOutcome> {
  try {
    return { saved: await putContent(id, path, draft) };
  } catch (error) {
    if (!isProblem(error, "/problems/agent-conflict", "/problems/file-changed")) throw error;
    return { conflict: await fetchContent(id, path) };
  }
}

// Each acts on one path, so that several can be handled one after the other.
export const fileActions = {
  makeFolder: (id: string, path: string): Promise<FileEntry> =>
    unwrap(api.POST(`${ROOT}/mkdir`, { params: { path: { vps_id: id } }, body: { path } })),
  rename: (id: string, body: Move): Promise<FileEntry> =>
    unwrap(api.POST(`${ROOT}/rename`, { params: { path: { vps_id: id } }, body })),
  copy: (id: string, body: Move): Promise<FileEntry> =>
    unwrap(api.POST(`${ROOT}/copy`, { params: { path: { vps_id: id } }, body })),
  changeMode: (
    id: string,
    body: { path: string; mode: number; recursive: boolean },
  ): Promise<FileEntry> =>
    unwrap(api.POST(`${ROOT}/chmod`, { params: { path: { vps_id: id } }, body })),
  changeOwner: (
    id: string,
    body: { path: string; owner: string; group: string; recursive: boolean },
  ): Promise<FileEntry> =>
    unwrap(api.POST(`${ROOT}/chown`, { params: { path: { vps_id: id } }, body })),
  archive: (id: string, body: Required<Schemas["FileArchive"]>): Promise<FileEntry> =>
    unwrap(api.POST(`${ROOT}/archive`, { params: { path: { vps_id: id } }, body })),
  extract: (id: string, body: Move): Promise<FileEntry> =>
    unwrap(api.POST(`${ROOT}/extract`, { params: { path: { vps_id: id } }, body })),
  remove: (id: string, path: string, recursive: boolean): Promise<void> =>
    unwrap(api.DELETE(ROOT, { params: { path: { vps_id: id }, query: { path, recursive } } })),
};

// Return a short-lived address from which the browser can download the file.
export async function downloadAddress(id: string, path: string): Promise<string> {
  const { ticket } = await unwrap<{ ticket: string }>(
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
