import { expect, test } from "vitest";
import type { Vps } from "@/api/vps";
import { arrange, countByFilter } from "@/features/fleet/fleet-order";

function vps(name: string, status: Vps["status"], ip_address: string | null = null): Vps {
  return {
    id: name,
    name,
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

test("servers are sorted by state, then by name with numbers counted", () => {
  const names = arrange(FLEET, "all", "").map(({ name }) => name);
  expect(names).toEqual(["quiet", "web-2", "web-10", "new", "gone"]);
});

test("a filter shows the servers it counted", () => {
  const counts = countByFilter(FLEET);
  expect(counts).toEqual({ all: 5, online: 2, offline: 1, waiting: 2 });
  for (const filter of ["all", "online", "offline", "waiting"] as const) {
    expect(arrange(FLEET, filter, "")).toHaveLength(counts[filter]);
  }
});

test("every word of a search must be found in name or address", () => {
  expect(arrange(FLEET, "all", "WEB 192.0.2.10").map(({ name }) => name)).toEqual(["web-10"]);
});
