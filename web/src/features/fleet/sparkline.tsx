import { memo } from "react";
import styles from "@/features/fleet/server-card.module.css";

interface Props {
  // Per cent: an average for each minute of the last hour.
  minutes: readonly (number | null)[];
  // The newest sample, which stands for the present minute: its value and its second of the minute.
  now: number | null;
  second: number;
  hot: boolean;
}

const WIDTH = 60; // minutes
const HEIGHT = 30;

export const Sparkline = memo(function Sparkline({ minutes, now, second, hot }: Props) {
  const values = [...minutes.slice(0, -1), now];
  const last = values.length - 1;
  const place = (index: number) =>
    index === last ? WIDTH - 1 + second / 60 : WIDTH - 1 - last + index;
  const points = values
    .map((value, index) =>
      value === null ? "" : `${place(index).toFixed(2)},${(29 - value * 0.28).toFixed(1)}`,
    )
    .join(" ");
  return (
    <svg
      className={hot ? `${styles.spark} ${styles.hot}` : styles.spark}
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      aria-hidden="true"
    >
      <polyline points={points} />
    </svg>
  );
});
