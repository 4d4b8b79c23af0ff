import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { diskHistoryQuery } from "@/api/series";
import { Plot, type Values } from "@/components/ui/plot";
import type { Band } from "@/components/ui/plot-bands";
import { COLORS } from "@/features/server/custom-series";
import { fullestMounts } from "@/features/server/mounts";

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

function percent(value: number): string {
  return `${Math.round(value)} %`;
}

function headline(values: Values): string {
  return values.map((value) => (value === null ? "–" : percent(value))).join(" · ");
}

// Where there are several; of one, the chart of all space says the same.
export function MountPlot({ server, from, to, interval, ...shared }: Props) {
  const { t } = useTranslation();
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
      data={mounts.columns}
      from={from}
      to={to}
      format={percent}
      headline={headline}
      top={TOP}
      {...shared}
    />
  );
}
