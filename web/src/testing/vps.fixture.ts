import type { Permissions, Vps } from "@/api/vps";

export function permissions(change: Partial<Permissions> = {}): Permissions {
  return {
    shell: true,
    commands: true,
    files: "write",
    docker: "actions",
    file_roots: ["/"],
    user: "root",
    obeys: true,
    ...change,
  };
}

export function vps(change: Partial<Vps> = {}): Vps {
  return {
    id: "v1",
    organisation_id: "o1",
    name: "fra-web-01",
    tags: [],
    status: "online",
    last_seen: null,
    ip_address: null,
    os_type: null,
    created_at: "2026-01-01T00:00:00.000Z",
    updated_at: "2026-01-01T00:00:00.000Z",
    facts: null,
    powers: permissions(),
    agent_config: {
      revision: 0,
      report_interval_seconds: null,
      log_level: null,
      docker_enabled: null,
      disabled_collectors: null,
    },
    latest: null,
    ...change,
  };
}
