import { memo } from "react";
import { useTranslation } from "react-i18next";
import styles from "@/components/plot/plot.module.css";
import type { Line } from "@/components/plot/plot-options";
import { figuresOf, type PlotData } from "@/components/plot/spread";

interface Props {
  lines: readonly Line[];
  data: PlotData;
  hidden: ReadonlySet<number>;
  // False if the newest values are from an earlier time.
  current: boolean;
  text: (value: number) => string;
  onToggle: (line: number) => void;
}

// The lines of a chart with their most important figures. A line can be hidden if there are others.
export const PlotLegend = memo(function PlotLegend(props: Props) {
  const { lines, data, hidden, current, text, onToggle } = props;
  const { t } = useTranslation();
  const figure = (value: number | null) => (value === null ? "–" : text(value));
  return (
    <table className={styles.legend}>
      <thead>
        <tr>
          <th scope="col">
            <span className={styles.unseen}>{t("chart.line")}</span>
          </th>
          <th scope="col">{current ? t("chart.now") : t("chart.last")}</th>
          <th scope="col">{t("chart.average")}</th>
          <th scope="col">{t("chart.max")}</th>
        </tr>
      </thead>
      <tbody>
        {lines.map(({ label, color }, at) => {
          const { last, average, max } = figuresOf(
            data.columns[at + 1] ?? [],
            data.spreads[at] ?? null,
          );
          const name = (
            <>
              <i style={{ "--c": `var(--${color})` }} />
              <span>{label}</span>
            </>
          );
          return (
            <tr key={color} className={hidden.has(at) ? styles.off : undefined}>
              <th scope="row">
                {lines.length > 1 ? (
                  <button type="button" aria-pressed={!hidden.has(at)} onClick={() => onToggle(at)}>
                    {name}
                  </button>
                ) : (
                  name
                )}
              </th>
              <td>{figure(last)}</td>
              <td>{figure(average)}</td>
              <td>{figure(max)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
});
