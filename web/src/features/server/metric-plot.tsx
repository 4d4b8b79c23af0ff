import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { Plot, type Values } from "@/components/ui/plot";
import type { Band } from "@/components/ui/plot-bands";
import { type Chart, shareText } from "@/features/server/charts";
import { type Columns, lastValue, type Metric } from "@/lib/series";

interface Props {
  chart: Chart;
  columnsOf: (metrics: readonly Metric[]) => Columns;
  from: number;
  to: number;
  sync: string;
  bands: readonly Band[];
  loading: boolean;
  onZoom?: (from: number, to: number) => void;
}

export function MetricPlot({ chart, columnsOf, from, to, sync, bands, loading, onZoom }: Props) {
  const { t } = useTranslation();
  const { metrics, whole } = chart;
  const data = useMemo(() => columnsOf(metrics), [columnsOf, metrics]);
  const total = useMemo(
    () => (whole ? lastValue(columnsOf([whole])[1]) : null),
    [columnsOf, whole],
  );
  const headline =
    total === null
      ? chart.headline
      : (values: Values) => (values[0] == null ? "–" : shareText(t, values[0], total));
  const top = total !== null && total > 0 ? { exactly: total } : chart.top;
  return (
    <Plot
      title={chart.title}
      lines={chart.lines}
      data={data}
      from={from}
      to={to}
      format={chart.format}
      headline={headline}
      steps={chart.steps}
      sync={sync}
      bands={bands}
      loading={loading}
      {...(top && { top })}
      {...(onZoom && { onZoom })}
    />
  );
}
