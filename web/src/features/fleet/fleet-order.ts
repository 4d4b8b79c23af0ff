import type { Vps, VpsStatus } from "@/api/vps";

export type Filter = "all" | "online" | "offline" | "waiting";

// What needs somebody comes first; what is gone comes last.
const ORDER: readonly VpsStatus[] = ["stale", "online", "pending", "offline"];

const STATUSES: Readonly<Record<Filter, readonly VpsStatus[]>> = {
  all: ORDER,
  online: ["online"],
  offline: ["offline"],
  waiting: ["pending", "stale"],
};

export function countByFilter(fleet: readonly Vps[]): Record<Filter, number> {
  const count = (filter: Filter) =>
    fleet.filter(({ status }) => STATUSES[filter].includes(status)).length;
  return {
    all: fleet.length,
    online: count("online"),
    offline: count("offline"),
    waiting: count("waiting"),
  };
}

function matches(vps: Vps, words: readonly string[]): boolean {
  const text = [vps.name, vps.ip_address, vps.facts?.hostname, vps.facts?.os_name]
    .join(" ")
    .toLowerCase();
  return words.every((word) => text.includes(word));
}

export function arrange(fleet: readonly Vps[], filter: Filter, search: string): Vps[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const byName = new Intl.Collator(undefined, { numeric: true });
  return fleet
    .filter((vps) => STATUSES[filter].includes(vps.status) && matches(vps, words))
    .sort(
      (a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status) || byName.compare(a.name, b.name),
    );
}
