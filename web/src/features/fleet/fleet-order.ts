import type { Sample, Vps, VpsStatus } from "@/api/vps";

export type Filter = "all" | "online" | "offline" | "waiting";

// Servers that need attention come first.
const ORDER: readonly VpsStatus[] = ["offline", "stale", "pending", "online"];

export const COLUMNS = ["state", "name", "cpu", "memory", "disk", "load", "network", "up"] as const;
export type Column = (typeof COLUMNS)[number];

export interface Sort {
  by: Column;
  descending: boolean;
}

// Figures are sorted from the highest value, names and states from the first.
export function firstDirection(by: Column): Sort {
  return { by, descending: by !== "state" && by !== "name" };
}

export type LatestSample = (id: string) => Sample | undefined;

const FIGURES: Readonly<Partial<Record<Column, (sample: Sample) => number | null>>> = {
  cpu: (sample) => sample.cpu_usage,
  memory: (sample) => sample.mem_usage,
  disk: (sample) => sample.disk_usage,
  load: (sample) => sample.load_1,
  network: ({ net_rx, net_tx }) =>
    net_rx === null && net_tx === null ? null : (net_rx ?? 0) + (net_tx ?? 0),
  up: (sample) => sample.uptime,
};

const STATUSES: Readonly<Record<Filter, readonly VpsStatus[]>> = {
  all: ORDER,
  online: ["online"],
  offline: ["offline"],
  waiting: ["pending", "stale"],
};

// The number of servers in each filter, and of those that are down.
export type Counts = Record<Filter | "down", number>;

export function countByFilter(fleet: readonly Vps[]): Counts {
  const count = (filter: Filter) =>
    fleet.filter(({ status }) => STATUSES[filter].includes(status)).length;
  return {
    all: fleet.length,
    online: count("online"),
    offline: count("offline"),
    waiting: count("waiting"),
    down: fleet.filter(({ status }) => status === "offline" || status === "stale").length,
  };
}

function matches(vps: Vps, words: readonly string[]): boolean {
  const text = [vps.name, vps.ip_address, vps.facts?.hostname, vps.facts?.os_name]
    .join(" ")
    .toLowerCase();
  return words.every((word) => text.includes(word));
}

export function filterServers(fleet: readonly Vps[], filter: Filter, search: string): Vps[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return fleet.filter((vps) => STATUSES[filter].includes(vps.status) && matches(vps, words));
}

// Servers without the figure and servers that are not online come last in both directions.
export function sortServers(servers: readonly Vps[], sort: Sort, latest: LatestSample): Vps[] {
  const collator = new Intl.Collator(undefined, { numeric: true });
  const byName = (a: Vps, b: Vps) => collator.compare(a.name, b.name);
  const sign = sort.descending ? -1 : 1;
  const read = FIGURES[sort.by];
  if (!read) {
    const byState = (a: Vps, b: Vps) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status);
    const first = sort.by === "state" ? byState : byName;
    return [...servers].sort((a, b) => sign * first(a, b) || byName(a, b));
  }
  const figures = new Map(
    servers.map((vps) => {
      const sample = vps.status === "online" ? latest(vps.id) : undefined;
      return [vps.id, sample ? read(sample) : null];
    }),
  );
  return [...servers].sort((a, b) => {
    const [x, y] = [figures.get(a.id) ?? null, figures.get(b.id) ?? null];
    if (x === null || y === null) return Number(x === null) - Number(y === null) || byName(a, b);
    return sign * (x - y) || byName(a, b);
  });
}
