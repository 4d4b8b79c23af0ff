import { expect, test } from "vitest";
import type { Sample, Vps } from "@/api/vps";
import { countByFilter, filterServers, type Sort, sortServers } from "@/features/fleet/fleet-order";

function vps(name: string, status: Vps["status"], ip_address: string | null = null): Vps {
  return {
    id: name,
    organisation_id: "o1",
    name,
    tags: [],
    status,
    last_seen: null,
    ip_address,
    os_type: null,
    created_at: "2026-01-01T00:00:00.000Z",
    updated_at: "2026-01-01T00:00:00.000Z",
    facts: null,
    powers: null,
    agent_config: {
      revision: 0,
      report_interval_seconds: null,
      log_level: null,
      docker_enabled: null,
      disabled_collectors: null,
    },
    latest: null,
  };
}

const FLEET = [
  vps("gone", "offline"),
  vps("web-10", "online", "192.0.2.10"),
  vps("web-2", "online", "192.0.2.2"),
  vps("new", "pending"),
  vps("quiet", "stale"),
];

const SAMPLES: Record<string, Partial<Sample>> = {
  "web-2": { cpu_usage: 10, net_rx: null, net_tx: null },
  "web-10": { cpu_usage: 90, net_rx: 5, net_tx: null },
  gone: { cpu_usage: 100 },
};

function sorted(by: Sort["by"], descending = false): string[] {
  const latest = (id: string) => SAMPLES[id] as Sample | undefined;
  return sortServers(FLEET, { by, descending }, latest).map(({ name }) => name);
}

test("servers with problems come first, then by name with numeric order", () => {
  expect(sorted("state")).toEqual(["gone", "quiet", "new", "web-2", "web-10"]);
});

test("names are sorted in both directions", () => {
  expect(sorted("name")).toEqual(["gone", "new", "quiet", "web-2", "web-10"]);
  expect(sorted("name", true)).toEqual(["web-10", "web-2", "quiet", "new", "gone"]);
});

test("a server without the figure comes last in both directions, with its last one too", () => {
  expect(sorted("cpu")).toEqual(["web-2", "web-10", "gone", "new", "quiet"]);
  expect(sorted("cpu", true)).toEqual(["web-10", "web-2", "gone", "new", "quiet"]);
  expect(sorted("network", true)).toEqual(["web-10", "gone", "new", "quiet", "web-2"]);
});

test("a filter shows as many servers as it counts", () => {
  const counts = countByFilter(FLEET);
  expect(counts).toEqual({ all: 5, online: 2, offline: 1, waiting: 2, down: 2 });
  for (const filter of ["all", "online", "offline", "waiting"] as const) {
    expect(filterServers(FLEET, filter, "")).toHaveLength(counts[filter]);
  }
});

test("every word of a search must be found in name or address", () => {
  expect(filterServers(FLEET, "all", "WEB 192.0.2.10").map(({ name }) => name)).toEqual(["web-10"]);
});
