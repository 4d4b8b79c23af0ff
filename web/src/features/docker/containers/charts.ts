import type { TFunction } from "i18next";
import type { ContainerStats } from "@/api/docker";
import type { Line, Top } from "@/components/plot/plot-options";
import type { Format } from "@/lib/format/format";
import type { Steps } from "@/lib/format/sizes";

export type Stat = Exclude<keyof ContainerStats["points"][number], "time">;

interface ContainerChart {
  title: string;
  stats: readonly Stat[];
  lines: readonly Line[];
  tick: (value: number) => string;
  text: (value: number) => string;
  note?: string | undefined;
  top: Top;
  steps?: Steps;
}

const MEMORY_FLOOR = 16 * 1024 ** 2; // bytes

// CPU is in per cent of one core, as in `docker stats`, so that the scale has no fixed top.
export function containerCharts(
  t: TFunction,
  format: Format,
  memoryLimit: number | null,
): ContainerChart[] {
  return [
    {
      title: t("metric.cpu"),
      stats: ["cpu_usage"],
      lines: [{ label: t("metric.cpu"), color: "accent" }],
      tick: format.percentTick,
      text: format.percent,
      top: { atLeast: 10 },
    },
    {
      title: t("metric.memory"),
      stats: ["mem_usage"],
      lines: [{ label: t("line.used"), color: "ok" }],
      tick: format.size,
      text: format.size,
      note: memoryLimit ? t("docker.limit", { limit: format.size(memoryLimit) }) : undefined,
      top: { atLeast: MEMORY_FLOOR },
      steps: format.sizeSteps,
    },
    {
      title: t("metric.network"),
      stats: ["net_rx", "net_tx"],
      lines: [
        { label: t("line.in"), color: "ok" },
        { label: t("line.out"), color: "accent" },
      ],
      tick: format.networkTick,
      text: format.networkRate,
      top: { atLeast: 12_500 },
      steps: format.networkSteps,
    },
    {
      title: t("metric.diskIo"),
      stats: ["block_read", "block_write"],
      lines: [
        { label: t("line.read"), color: "accent" },
        { label: t("line.write"), color: "violet" },
      ],
      tick: format.diskTick,
      text: format.diskRate,
      top: { atLeast: 100_000 },
      steps: format.diskSteps,
    },
  ];
}
