import type { Container } from "@/api/docker";
import type { Format } from "@/lib/format/format";

export const COLUMNS = 8; // in the table of containers

const NONE = "–";

type Port = Container["ports"][number];

function addressText({ host_ip, host_port }: Port): string {
  const everywhere = host_ip === "" || host_ip === "0.0.0.0" || host_ip === "::";
  const host = host_ip.includes(":") ? `[${host_ip}]` : host_ip;
  return everywhere ? String(host_port) : `${host}:${host_port}`;
}

// Ports as `docker ps` shows them. A port that is open on IPv4 and IPv6 is listed once.
export function portTexts(ports: Container["ports"]): string[] {
  const texts = ports.map((port) => {
    const inside = `${port.container_port}/${port.protocol}`;
    return port.host_port > 0 ? `${addressText(port)} → ${inside}` : inside;
  });
  return [...new Set(texts)];
}

export function cpuText({ cpu_usage_percent: percent }: Container, format: Format): string {
  return format.percent(percent);
}

export function memoryText({ memory_usage_bytes: used }: Container, format: Format): string {
  return used === null ? NONE : format.size(used);
}

export function networkText(container: Container, format: Format): string {
  const { network_receive_bytes_per_second: rx, network_transmit_bytes_per_second: tx } = container;
  if (rx === null && tx === null) return NONE;
  const { values, unit } = format.networkRates(rx ?? 0, tx ?? 0);
  return `↓ ${values[0]} ↑ ${values[1]} ${unit}`;
}
