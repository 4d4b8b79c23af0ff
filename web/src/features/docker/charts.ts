import type { TFunction } from "i18next";
import type { ContainerStats } from "@/api/docker";
import type { Values } from "@/components/ui/plot";
import type { Line } from "@/components/ui/plot-options";
import { formatBitRates, formatByteRates, formatBytes } from "@/lib/format";
import { percentText } from "@/lib/traffic";

export type Stat = Exclude<keyof ContainerStats["points"][number], "time">;

interface ContainerChart {
  title: string;
  stats: readonly Stat[];
  lines: readonly Line[];
  format: (value: number) => string;
  headline: (values: Values) => string;
  top: { atLeast: number } | { exactly: number };
  steps?: "binary" | "bits";
}

const NONE = "–";
const MEMORY_FLOOR = 16 * 1024 ** 2; // bytes

type Rates = (...values: number[]) => { values: string[]; unit: string };

const tick = (rates: Rates) => (value: number) => {
  const { values, unit } = rates(value);
  return `${Number(values[0])} ${unit}`;
};

function both(rates: Rates, tell: (values: string[], unit: string) => string) {
  return ([first, second]: Values): string => {
    if (first == null && second == null) return NONE;
    const { values, unit } = rates(first ?? 0, second ?? 0);
    return tell(values, unit);
  };
}

// Per cent are of one core, as the engine's own tools count them, so that there is no fixed top.
export function containerCharts(t: TFunction, memoryLimit: number | null): ContainerChart[] {
  const one = (text: (value: number) => string) => (values: Values) =>
    values[0] == null ? NONE : text(values[0]);
  return [
    {
      title: t("metric.cpu"),
      stats: ["cpu_usage"],
      lines: [{ label: t("metric.cpu"), color: "accent" }],
      format: (value) => `${Number(value.toFixed(1))} %`,
      headline: one(percentText),
      top: { atLeast: 10 },
    },
    {
      title: t("metric.memory"),
      stats: ["mem_usage"],
      lines: [{ label: t("line.used"), color: "ok" }],
      format: formatBytes,
      headline: one((used) =>
        memoryLimit
          ? t("docker.ofLimit", { used: formatBytes(used), limit: formatBytes(memoryLimit) })
          : formatBytes(used),
      ),
      top: { atLeast: MEMORY_FLOOR },
      steps: "binary",
    },
    {
      title: t("metric.network"),
      stats: ["net_rx", "net_tx"],
      lines: [
        { label: t("line.in"), color: "ok" },
        { label: t("line.out"), color: "accent" },
      ],
      format: tick(formatBitRates),
      headline: both(formatBitRates, ([rx, tx], unit) => `↓ ${rx} ↑ ${tx} ${unit}`),
      top: { atLeast: 12_500 },
      steps: "bits",
    },
    {
      title: t("metric.diskIo"),
      stats: ["block_read", "block_write"],
      lines: [
        { label: t("line.read"), color: "accent" },
        { label: t("line.write"), color: "violet" },
      ],
      format: tick(formatByteRates),
      headline: both(formatByteRates, (values, unit) => `${values.join(" · ")} ${unit}`),
      top: { atLeast: 100_000 },
    },
  ];
}
