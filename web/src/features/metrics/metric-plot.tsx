import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { Plot } from "@/components/plot/plot";
import type { Band } from "@/components/plot/plot-bands";
import type { PlotData } from "@/components/plot/spread";
import type { Chart } from "@/features/metrics/charts";
import type { Metric } from "@/features/metrics/metric-columns";
import { lastValue } from "@/lib/columns";

interface Props {
  chart: Chart;
  dataOf: (metrics: readonly Metric[]) => PlotData;
  from: number;
  to: number;
  sync: string;
  bands: readonly Band[];
  loading: boolean;
  onZoom?: (from: number, to: number) => void;
}

export function MetricPlot({ chart, dataOf, from, to, sync, bands, loading, onZoom }: Props) {
  const { t } = useTranslation();
  const { metrics, total: totalMetric, text } = chart;
  const data = useMemo(() => dataOf(metrics), [dataOf, metrics]);
  const total = useMemo(
    () => (totalMetric ? lastValue(dataOf([totalMetric]).columns[1]) : null),
    [dataOf, totalMetric],
  );
  return (
    <Plot
      title={chart.title}
      note={total === null ? undefined : t("chart.ofTotal", { total: text(total) })}
      lines={chart.lines}
      data={data}
      from={from}
      to={to}
      tick={chart.tick}
      text={text}
      top={total !== null && total > 0 ? { exactly: total } : chart.top}
      steps={chart.steps}
      sync={sync}
      bands={bands}
      loading={loading}
      onZoom={onZoom}
    />
  );
}
