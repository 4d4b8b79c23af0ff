import type { TFunction } from "i18next";
import type { Values } from "@/components/ui/plot";
import type { Line } from "@/components/ui/plot-options";
import { formatBitRates, formatByteRates, formatBytes, formatShare } from "@/lib/format";
import type { Metric } from "@/lib/series";

export interface Chart {
  id: string;
  title: string;
  metrics: readonly Metric[];
  lines: readonly Line[];
  format: (value: number) => string;
  headline: (values: Values) => string;
  // The metric that says how much there is; the scale then ends there.
  whole?: Metric;
  top?: { atLeast: number } | { exactly: number };
  steps?: "binary" | "bits";
}

const NONE = "–";

function percent(value: number): string {
  return `${Math.round(value)} %`;
}

function pair([a, b]: Values): [number, number] | null {
  return a == null && b == null ? null : [a ?? 0, b ?? 0];
}

export function shareText(t: TFunction, used: number, total: number): string {
  return t("unit.share", { ...formatShare(used, total) });
}

export function charts(t: TFunction) {
  const line = (label: string, color: Line["color"]): Line => ({ label, color });
  const one = (text: (value: number) => string) => (values: Values) =>
    values[0] == null ? NONE : text(values[0]);
  return {
    cpu: {
      id: "cpu",
      title: t("metric.cpu"),
      metrics: ["cpu_usage", "cpu_iowait", "cpu_steal"],
      lines: [
        line(t("line.total"), "accent"),
        line(t("line.iowait"), "warn"),
        line(t("line.steal"), "violet"),
      ],
      format: percent,
      headline: one(percent),
      top: { exactly: 100 },
    },
    memory: {
      id: "memory",
      title: t("metric.memory"),
      metrics: ["mem_used", "mem_cached"],
      lines: [line(t("line.used"), "ok"), line(t("line.cached"), "faint")],
      format: formatBytes,
      headline: one(formatBytes),
      whole: "mem_total",
      steps: "binary",
    },
    diskIo: {
      id: "disk-io",
      title: t("metric.diskIo"),
      metrics: ["disk_io_read", "disk_io_write"],
      lines: [line(t("line.read"), "accent"), line(t("line.write"), "violet")],
      format: (value) => tick(formatByteRates(value)),
      headline: (values) => {
        const both = pair(values);
        return both ? joined(formatByteRates(...both)) : NONE;
      },
      top: { atLeast: 1_000_000 },
    },
    network: {
      id: "network",
      title: t("metric.network"),
      metrics: ["net_rx", "net_tx"],
      lines: [line(t("line.in"), "ok"), line(t("line.out"), "accent")],
      format: (value) => tick(formatBitRates(value)),
      headline: (values) => {
        const both = pair(values);
        if (!both) return NONE;
        const { values: texts, unit } = formatBitRates(...both);
        return `↓ ${texts[0]} ↑ ${texts[1]} ${unit}`;
      },
      top: { atLeast: 125_000 },
      steps: "bits",
    },
    load: {
      id: "load",
      title: t("metric.load"),
      metrics: ["load_1", "load_15"],
      lines: [line(t("line.oneMinute"), "accent"), line(t("line.fifteenMinutes"), "faint")],
      format: (value) => String(Number(value.toFixed(2))),
      headline: one((value) => value.toFixed(2)),
      top: { atLeast: 1 },
    },
    disk: {
      id: "disk",
      title: t("metric.diskSpace"),
      metrics: ["disk_used"],
      lines: [line(t("line.used"), "warn")],
      format: formatBytes,
      headline: one(formatBytes),
      whole: "disk_total",
      steps: "binary",
    },
    swap: {
      id: "swap",
      title: t("metric.swap"),
      metrics: ["swap_used"],
      lines: [line(t("line.used"), "violet")],
      format: formatBytes,
      headline: one(formatBytes),
      whole: "swap_total",
      steps: "binary",
    },
    connections: {
      id: "connections",
      title: t("metric.connections"),
      metrics: ["tcp_connections", "udp_connections"],
      lines: [line("TCP", "accent"), line("UDP", "violet")],
      format: whole,
      headline: (values) =>
        values.map((value) => (value === null ? NONE : whole(value))).join(" · "),
      top: { atLeast: 10 },
    },
    processes: {
      id: "processes",
      title: t("metric.processes"),
      metrics: ["processes"],
      lines: [line(t("metric.processes"), "accent")],
      format: whole,
      headline: one(whole),
      top: { atLeast: 10 },
    },
    temperature: {
      id: "temperature",
      title: t("metric.temperature"),
      metrics: ["temperature"],
      lines: [line(t("metric.temperature"), "warn")],
      format: celsius,
      headline: one(celsius),
      top: { atLeast: 80 },
    },
  } satisfies Record<string, Chart>;
}

function joined({ values, unit }: { values: string[]; unit: string }): string {
  return `${values.join(" · ")} ${unit}`;
}

function tick({ values, unit }: { values: string[]; unit: string }): string {
  return `${Number(values[0])} ${unit}`;
}

function whole(value: number): string {
  return String(Math.round(value));
}

function celsius(value: number): string {
  return `${Math.round(value)} °C`;
}
