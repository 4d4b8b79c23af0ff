import type { Container } from "@/api/docker";

export function containerOf(name: string, known: Partial<Container> = {}): Container {
  return {
    id: name.padEnd(12, "0"),
    names: [name],
    image: "alpine:3",
    state: "running",
    status: "Up 2 minutes",
    created_at: "2026-01-01T00:00:00Z",
    ports: [],
    labels: {},
    mounts: [],
    project: null,
    service: null,
    cpu_usage_percent: null,
    memory_usage_bytes: null,
    memory_limit_bytes: null,
    network_receive_bytes_per_second: null,
    network_transmit_bytes_per_second: null,
    block_read_bytes_per_second: null,
    block_write_bytes_per_second: null,
    ...known,
  };
}
