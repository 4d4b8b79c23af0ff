import type { AgentConfig } from "@/api/vps";

export const COLLECTORS = [
  "cpu",
  "load",
  "memory",
  "disk",
  "disk_io",
  "network",
  "connections",
  "processes",
  "uptime",
  "temperature",
] as const;
export const INTERVALS = [1, 2, 5, 10, 30, 60]; // seconds
export const LOG_LEVELS = ["debug", "info", "warning", "error"] as const;

// A null in the configuration means "as in the file on the server". A select needs a value for it:
// "own".
export interface ReportingFields {
  interval: number | "own";
  level: NonNullable<AgentConfig["log_level"]> | "own";
  docker: "own" | "on" | "off";
  collectors: string[];
}

export function toFields(config: AgentConfig): ReportingFields {
  const { report_interval_seconds, log_level, docker_enabled, disabled_collectors } = config;
  return {
    interval: report_interval_seconds ?? "own",
    level: log_level ?? "own",
    docker: docker_enabled === null ? "own" : docker_enabled ? "on" : "off",
    collectors: COLLECTORS.filter((name) => !disabled_collectors?.includes(name)),
  };
}

export function toConfig(
  fields: ReportingFields,
  before: AgentConfig,
): Omit<AgentConfig, "revision"> {
  const off = COLLECTORS.filter((name) => !fields.collectors.includes(name));
  // Collectors that this console does not know keep their state.
  const others = (before.disabled_collectors ?? []).filter(
    (name) => !COLLECTORS.some((known) => known === name),
  );
  const disabled = [...off, ...others];
  return {
    report_interval_seconds: fields.interval === "own" ? null : fields.interval,
    log_level: fields.level === "own" ? null : fields.level,
    docker_enabled: fields.docker === "own" ? null : fields.docker === "on",
    disabled_collectors:
      disabled.length === 0 && before.disabled_collectors === null ? null : disabled,
  };
}
