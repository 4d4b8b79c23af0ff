import { useLayoutEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import styles from "@/components/plot/plot.module.css";
import type { Line } from "@/components/plot/plot-options";
import type { PlotData, Spread } from "@/components/plot/spread";
import type { Cursor } from "@/components/plot/use-plot";
import { valueAt } from "@/lib/columns";
import { useFormat } from "@/lib/use-format";

interface Props {
  cursor: Cursor;
  lines: readonly Line[];
  data: PlotData;
  hidden: ReadonlySet<number>;
  text: (value: number) => string;
}

const BESIDE = 12; // px between the cursor and the tooltip

// The time and the values under the cursor. A screen reader gets them from the slider of the chart.
export function PlotTip({ cursor, lines, data, hidden, text }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  const box = useRef<HTMLDivElement>(null);
  const { index, time, left } = cursor;

  // To the right of the cursor, or to its left where there is no room.
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const room = element.parentElement?.clientWidth ?? 0;
    const right = left + BESIDE;
    const fits = right + element.offsetWidth <= room;
    const at = fits ? right : Math.max(0, left - BESIDE - element.offsetWidth);
    element.style.transform = `translateX(${Math.round(at)}px)`;
  });

  return (
    <div ref={box} className={styles.tip} aria-hidden="true" data-testid="chart-tip">
      <time>{format.instant(time)}</time>
      {index === null ? (
        <p>{t("chart.nothingHere")}</p>
      ) : (
        <ul>
          {lines.map(({ label, color }, at) => {
            if (hidden.has(at)) return null;
            const value = valueAt(data.columns[at + 1] ?? [], index);
            const spread = spreadText(data.spreads[at] ?? null, index, text);
            return (
              <li key={color}>
                <i style={{ "--c": `var(--${color})` }} />
                <span>{label}</span>
                <b>{value === null ? "–" : text(value)}</b>
                {spread && <small>{spread}</small>}
              </li>
            );
          })}
        </ul>
      )}
    </div>
  );
}

function spreadText(
  spread: Spread | null,
  index: number,
  text: (value: number) => string,
): string | null {
  const [low, high] = [spread?.low[index], spread?.high[index]];
  if (low == null || high == null) return null;
  const p95 = spread?.p95?.[index];
  return `${text(low)} – ${text(high)}${p95 == null ? "" : `, p95 ${text(p95)}`}`;
}
