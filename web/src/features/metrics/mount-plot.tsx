import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { diskHistoryQuery } from "@/api/series";
import { Plot } from "@/components/plot/plot";
import type { Band } from "@/components/plot/plot-bands";
import { COLORS } from "@/features/metrics/custom-series";
import { fullestMounts } from "@/features/metrics/mounts";
import { useFormat } from "@/lib/use-format";

interface Props {
  server: string;
  from: number;
  to: number;
  interval: number; // seconds between two reports
  sync: string;
  bands: readonly Band[];
  onZoom: (from: number, to: number) => void;
}

const TOP = { exactly: 100 };

// Shown only for several mounts. For one, the chart of disk space shows the same.
export function MountPlot({ server, from, to, interval, ...shared }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  const { data } = useQuery(
    diskHistoryQuery(server, {
      start: new Date(from * 1000).toISOString(),
      end: new Date(to * 1000).toISOString(),
    }),
  );
  const mounts = useMemo(() => data && fullestMounts(data, interval), [data, interval]);
  if (!mounts || mounts.names.length < 2) return null;
  return (
    <Plot
      title={t("metric.mounts")}
      lines={mounts.names.map((label, at) => ({ label, color: COLORS[at] ?? "faint" }))}
      data={mounts.data}
      from={from}
      to={to}
      tick={format.percentTick}
      text={format.percent}
      top={TOP}
      {...shared}
    />
  );
}
