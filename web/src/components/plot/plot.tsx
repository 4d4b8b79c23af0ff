import "uplot/dist/uPlot.min.css";
import { useCallback, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import styles from "@/components/plot/plot.module.css";
import type { Band } from "@/components/plot/plot-bands";
import { PlotLegend } from "@/components/plot/plot-legend";
import type { Line, Top } from "@/components/plot/plot-options";
import { PlotTip } from "@/components/plot/plot-tip";
import { isCurrent, type PlotData } from "@/components/plot/spread";
import { HEIGHT, usePlot } from "@/components/plot/use-plot";
import { useNow } from "@/lib/clock";
import { lastValue, valueAt } from "@/lib/columns";
import type { Steps } from "@/lib/format/sizes";
import { useFormat } from "@/lib/use-format";

interface Props {
  title: string;
  // Shown beside the title, such as the total.
  note?: string | undefined;
  lines: readonly Line[];
  data: PlotData;
  // Seconds since the epoch.
  from: number;
  to: number;
  // Formats a label of the scale.
  tick: (value: number) => string;
  // Formats a value with its unit.
  text: (value: number) => string;
  top?: Top | undefined;
  steps?: Steps;
  // Charts with the same key share their cursor.
  sync: string;
  bands?: readonly Band[];
  loading?: boolean;
  onZoom?: ((from: number, to: number) => void) | undefined;
}

const REFRESH = 30_000; // ms; without new data, the newest values are no longer the present ones
const FLOOR: Top = { atLeast: 1 };
const NO_BANDS: readonly Band[] = [];
const ALL: ReadonlySet<number> = new Set();

function toggled(before: ReadonlySet<number>, line: number): ReadonlySet<number> {
  const after = new Set(before);
  if (!after.delete(line)) after.add(line);
  return after;
}

export function Plot(props: Props) {
  const { title, note, lines, data, from, to, tick, text, steps, sync, onZoom } = props;
  const { top = FLOOR, bands = NO_BANDS, loading = false } = props;
  const { t } = useTranslation();
  const format = useFormat();
  const [hidden, setHidden] = useState(ALL);
  const { box, cursor, moveTo } = usePlot({
    lines,
    data,
    hidden,
    from,
    to,
    tick,
    format,
    top,
    steps,
    sync,
    bands,
    onZoom,
  });
  const toggle = useCallback((line: number) => setHidden((before) => toggled(before, line)), []);
  const [times, ...values] = data.columns;
  const now = useNow(REFRESH);
  const current = useMemo(() => isCurrent(times, now / 1000), [times, now]);

  // Text for screen readers: the values at a point, or the newest values.
  const spoken = (index: number | null) =>
    lines
      .map(({ label }, at) => {
        const line = values[at] ?? [];
        const value = index === null ? lastValue(line) : valueAt(line, index);
        return `${label} ${value === null ? t("chart.noValue") : text(value)}`;
      })
      .join(t("separator"));
  const place = cursor?.index ?? null;
  const chosen = place ?? times.length - 1;
  return (
    <figure className={styles.plot} data-testid="chart">
      <figcaption>
        <h2>{title}</h2>
        {note && <span>{note}</span>}
      </figcaption>
      <div className={styles.stage}>
        <div
          ref={box}
          className={styles.canvas}
          style={{ height: HEIGHT }}
          role="img"
          aria-label={t("chart.label", { title, value: spoken(null) })}
        />
        {times.length > 0 && (
          <input
            type="range"
            className={styles.slider}
            aria-label={t("chart.slider", { title })}
            min={0}
            max={times.length - 1}
            value={chosen}
            aria-valuetext={`${format.instant(times[chosen] ?? 0)}: ${spoken(chosen)}`}
            onFocus={() => moveTo(chosen)}
            onBlur={() => moveTo(null)}
            onChange={({ target }) => moveTo(target.valueAsNumber)}
            onKeyDown={({ key, currentTarget }) => key === "Escape" && currentTarget.blur()}
          />
        )}
        {cursor && (
          <PlotTip cursor={cursor} lines={lines} data={data} hidden={hidden} text={text} />
        )}
        {times.length === 0 && !loading && <p className={styles.empty}>{t("chart.empty")}</p>}
      </div>
      <PlotLegend
        lines={lines}
        data={data}
        hidden={hidden}
        current={current}
        text={text}
        onToggle={toggle}
      />
    </figure>
  );
}
