import { useMemo } from "react";
import { useSearchParams } from "react-router";
import type { AuditFilters } from "@/api/audit";

// The kinds of actions that a person can choose, each with the kinds that the API knows.
export const KINDS = {
  session: "session,account",
  server: "vps,command-key,traffic",
  run: "command",
  terminal: "shell",
  docker: "docker",
  file: "file,files",
  audit: "audit",
} as const;
export type Kind = keyof typeof KINDS;

export const RESULTS = ["allowed", "refused"] as const;
export type Result = (typeof RESULTS)[number];

const HOUR = 3_600_000; // ms
export const RANGES = { "1h": HOUR, "24h": 24 * HOUR, "7d": 168 * HOUR, "30d": 720 * HOUR };
export type Range = keyof typeof RANGES;

export const FILTER_NAMES = [
  "text",
  "actor",
  "object",
  "kind",
  "result",
  "range",
  "since",
  "until",
] as const;
export type FilterName = (typeof FILTER_NAMES)[number];
export type ShownFilters = Record<FilterName, string>;

const ENTRY = "entry";

interface AuditAddress {
  shown: ShownFilters;
  // As the API takes them.
  filters: AuditFilters;
  isFiltered: boolean;
  entry: number | null;
  set: (changes: Partial<ShownFilters>) => void;
  clear: () => void;
  open: (seq: number | null) => void;
}

// Filters and the open entry are part of the address, so that a link shows the same.
export function useAuditAddress(): AuditAddress {
  const [params, setParams] = useSearchParams();
  const shown = useMemo(
    () =>
      Object.fromEntries(
        FILTER_NAMES.map((name) => [name, params.get(name) ?? ""]),
      ) as ShownFilters,
    [params],
  );
  // A range that ends now begins at the same moment until the filters change.
  const filters = useMemo(() => toApi(shown), [shown]);
  const seq = Number(params.get(ENTRY));
  const change = (changes: Record<string, string>) => (before: URLSearchParams) => {
    const after = new URLSearchParams(before);
    for (const [name, value] of Object.entries(changes)) {
      if (value === "") after.delete(name);
      else after.set(name, value);
    }
    return after;
  };
  return {
    shown,
    filters,
    isFiltered: FILTER_NAMES.some((name) => shown[name] !== ""),
    entry: Number.isSafeInteger(seq) && seq > 0 ? seq : null,
    set: (changes) =>
      setParams(change({ ...changes, [ENTRY]: "" }), { replace: true, preventScrollReset: true }),
    clear: () => setParams({}, { replace: true }),
    open: (entry) =>
      setParams(change({ [ENTRY]: entry === null ? "" : String(entry) }), {
        // Closing leaves no step that would open it again.
        replace: entry === null,
        preventScrollReset: true,
      }),
  };
}

export function toApi(shown: ShownFilters, now = Date.now()): AuditFilters {
  const { text, actor, object, kind, result, range, since, until } = shown;
  const start = range in RANGES ? new Date(now - RANGES[range as Range]) : toTime(since);
  const end = range in RANGES ? null : toTime(until);
  return {
    ...(text && { text }),
    ...(actor && { actor }),
    ...(object && { object }),
    ...(kind in KINDS && { action: KINDS[kind as Kind] }),
    ...(RESULTS.includes(result as Result) && { allowed: result === "allowed" }),
    ...(start && { since: start.toISOString() }),
    ...(end && { until: end.toISOString() }),
  };
}

function toTime(text: string): Date | null {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? null : time;
}
