import type { TFunction } from "i18next";
import type { Line, Top } from "@/components/plot/plot-options";
import type { Metric } from "@/features/metrics/metric-columns";
import type { Format } from "@/lib/format/format";
import type { Steps } from "@/lib/format/sizes";

export interface Chart {
  id: string;
  title: string;
  metrics: readonly Metric[];
  lines: readonly Line[];
  // Formats a label of the scale.
  tick: (value: number) => string;
  // Formats a value.
  text: (value: number) => string;
  // The metric with the total. The scale ends there.
  total?: Metric;
  top?: Top;
  steps?: Steps;
}

export function charts(t: TFunction, format: Format) {
  const line = (label: string, color: Line["color"]): Line => ({ label, color });
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
      tick: format.percentTick,
      text: format.percent,
      top: { exactly: 100 },
    },
    memory: {
      id: "memory",
      title: t("metric.memory"),
      metrics: ["mem_used", "mem_cached"],
      lines: [line(t("line.used"), "ok"), line(t("line.cached"), "faint")],
      tick: format.size,
      text: format.size,
      total: "mem_total",
      steps: format.sizeSteps,
    },
    diskIo: {
      id: "disk-io",
      title: t("metric.diskIo"),
      metrics: ["disk_io_read", "disk_io_write"],
      lines: [line(t("line.read"), "accent"), line(t("line.write"), "violet")],
      tick: format.diskTick,
      text: format.diskRate,
      top: { atLeast: 1_000_000 },
      steps: format.diskSteps,
    },
    network: {
      id: "network",
      title: t("metric.network"),
      metrics: ["net_rx", "net_tx"],
      lines: [line(t("line.in"), "ok"), line(t("line.out"), "accent")],
      tick: format.networkTick,
      text: format.networkRate,
      top: { atLeast: 125_000 },
      steps: format.networkSteps,
    },
    load: {
      id: "load",
      title: t("metric.load"),
      metrics: ["load_1", "load_15"],
      lines: [line(t("line.oneMinute"), "accent"), line(t("line.fifteenMinutes"), "faint")],
      tick: format.loadTick,
      text: format.load,
      top: { atLeast: 1 },
    },
    disk: {
      id: "disk",
      title: t("metric.diskSpace"),
      metrics: ["disk_used"],
      lines: [line(t("line.used"), "warn")],
      tick: format.size,
      text: format.size,
      total: "disk_total",
      steps: format.sizeSteps,
    },
    swap: {
      id: "swap",
      title: t("metric.swap"),
      metrics: ["swap_used"],
      lines: [line(t("line.used"), "violet")],
      tick: format.size,
      text: format.size,
      total: "swap_total",
      steps: format.sizeSteps,
    },
    connections: {
      id: "connections",
      title: t("metric.connections"),
      metrics: ["tcp_connections", "udp_connections"],
      lines: [line("TCP", "accent"), line("UDP", "violet")],
      tick: format.count,
      text: format.count,
      top: { atLeast: 10 },
    },
    processes: {
      id: "processes",
      title: t("metric.processes"),
      metrics: ["processes"],
      lines: [line(t("metric.processes"), "accent")],
      tick: format.count,
      text: format.count,
      top: { atLeast: 10 },
    },
    temperature: {
      id: "temperature",
      title: t("metric.temperature"),
      metrics: ["temperature"],
      lines: [line(t("metric.temperature"), "warn")],
      tick: format.celsius,
      text: format.celsius,
      top: { atLeast: 80 },
    },
  } satisfies Record<string, Chart>;
}
