import "uplot/dist/uPlot.min.css";
import { useEffect, useLayoutEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import uPlot from "uplot";
import styles from "@/components/ui/plot.module.css";
import type { Band } from "@/components/ui/plot-bands";
import { type Line, plotOptions } from "@/components/ui/plot-options";
import { type Columns, lastValue, valueAt } from "@/lib/series";
import { useDark } from "@/lib/theme";

export type Values = readonly (number | null)[];

interface Props {
  title: string;
  lines: readonly Line[];
  data: Columns;
  // Seconds since the epoch.
  from: number;
  to: number;
  // A tick of the scale.
  format: (value: number) => string;
  // The figure in the corner: the newest values, or those under the cursor.
  headline: (values: Values) => string;
  top?: { atLeast: number } | { exactly: number };
  steps?: "binary" | "bits" | undefined;
  sync: string;
  bands?: readonly Band[];
  loading?: boolean;
  onZoom?: (from: number, to: number) => void;
}

const HEIGHT = 174; // px
const FLOOR = { atLeast: 1 };
const NO_BANDS: readonly Band[] = [];

export function Plot(props: Props) {
  const {
    title,
    lines,
    data,
    from,
    to,
    format,
    headline,
    top = FLOOR,
    steps,
    sync,
    bands = NO_BANDS,
    loading = false,
    onZoom,
  } = props;
  const { t, i18n } = useTranslation();
  const dark = useDark();
  const box = useRef<HTMLDivElement>(null);
  const corner = useRef<HTMLElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef({ data, from, to, format, headline, bands, onZoom });
  latest.current = { data, from, to, format, headline, bands, onZoom };
  const zoomable = onZoom !== undefined;
  const topKey = JSON.stringify(top);
  const linesKey = JSON.stringify(lines);

  const show = useRef((index: number | null) => {
    const { data: columns, headline: text } = latest.current;
    const under = index === null ? null : columns.slice(1).map((line) => valueAt(line, index));
    const values = under ?? columns.slice(1).map((line) => lastValue(line));
    if (corner.current) corner.current.textContent = text(values);
  });

  // biome-ignore lint/correctness/useExhaustiveDependencies: a change of theme changes the colours read from the page
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const now = latest.current;
    const options = plotOptions(
      {
        language: i18n.language,
        lines: JSON.parse(linesKey) as Line[],
        format: (value) => latest.current.format(value),
        top: JSON.parse(topKey) as typeof FLOOR,
        steps,
        sync,
        bands: () => latest.current.bands,
        onCursor: (index) => show.current(index),
        onZoom: zoomable ? (a, b) => latest.current.onZoom?.(a, b) : undefined,
      },
      element.clientWidth,
      HEIGHT,
    );
    const drawn = new uPlot(options, now.data as uPlot.AlignedData, element);
    drawn.setScale("x", { min: now.from, max: now.to });
    plot.current = drawn;
    const observer = new ResizeObserver(() =>
      drawn.setSize({ width: element.clientWidth, height: HEIGHT }),
    );
    observer.observe(element);
    return () => {
      observer.disconnect();
      drawn.destroy();
      plot.current = null;
    };
  }, [i18n.language, linesKey, topKey, steps, sync, zoomable, dark]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: bands are read while drawing
  useEffect(() => {
    const drawn = plot.current;
    if (!drawn) return;
    drawn.batch(() => {
      drawn.setData(data as uPlot.AlignedData, false);
      drawn.setScale("x", { min: from, max: to });
    });
    show.current(drawn.cursor.idx ?? null);
  }, [data, from, to, bands]);

  const empty = data[0].length === 0 && !loading;
  const newest = headline(data.slice(1).map((line) => lastValue(line)));
  return (
    <figure className={styles.plot} data-testid="chart">
      <figcaption>
        <h2>{title}</h2>
        {lines.length > 1 &&
          lines.map(({ label, color }) => (
            <span key={color} style={{ "--c": `var(--${color})` }}>
              {label}
            </span>
          ))}
        <b ref={corner}>{newest}</b>
      </figcaption>
      <div
        ref={box}
        className={styles.canvas}
        style={{ height: HEIGHT }}
        role="img"
        aria-label={t("chart.label", { title, value: newest })}
      />
      {empty && <p className={styles.empty}>{t("chart.empty")}</p>}
    </figure>
  );
}
