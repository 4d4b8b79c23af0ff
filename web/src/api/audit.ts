import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api } from "@/api/client";
import { unwrap } from "@/api/problem";
import type { components, operations } from "@/api/schema.gen";

export type AuditEntry = components["schemas"]["AuditEntry"];
export type ExportFormat = "ndjson" | "csv";
type Query = NonNullable<operations["audit"]["parameters"]["query"]>;
export type AuditFilters = Pick<
  Query,
  "actor" | "object" | "action" | "allowed" | "since" | "until" | "text"
>;

export const MAX_EXPORTED = 100_000; // entries in one file
const PAGE = 100; // entries
const NEXT = /rel="next"/;

// Entries that match the filters, newest first.
export const auditQuery = (filters: AuditFilters) =>
  infiniteQueryOptions({
    queryKey: ["audit", "list", filters],
    queryFn: ({ pageParam, signal }) =>
      unwrap(
        api.GET("/api/v1/audit", {
          params: { query: { ...filters, limit: PAGE, ...(pageParam && { before: pageParam }) } },
          signal,
        }),
      ),
    initialPageParam: 0,
    getNextPageParam: ({ next_before }) => next_before,
  });

// One entry by its number; null if it does not exist.
export const auditEntryQuery = (seq: number) =>
  queryOptions({
    queryKey: ["audit", "entry", seq],
    queryFn: async ({ signal }) => {
      const query = { before: seq + 1, limit: 1 };
      const page = await unwrap(api.GET("/api/v1/audit", { params: { query }, signal }));
      return page.items.find((entry) => entry.seq === seq) ?? null;
    },
  });

export interface ExportedFile {
  name: string;
  content: Blob;
  // More entries match than one file holds.
  isPartial: boolean;
}

export async function exportAudit(
  filters: AuditFilters,
  format: ExportFormat,
): Promise<ExportedFile> {
  const answer = await api.GET("/api/v1/audit/export", {
    params: { query: { ...filters, format } },
    parseAs: "blob",
  });
  const content = await unwrap<Blob>(Promise.resolve(answer));
  const { headers } = answer.response;
  const name = /filename="([^"]+)"/.exec(headers.get("Content-Disposition") ?? "")?.[1];
  return {
    name: name ?? `flotilla-audit.${format}`,
    content,
    isPartial: NEXT.test(headers.get("Link") ?? ""),
  };
}
