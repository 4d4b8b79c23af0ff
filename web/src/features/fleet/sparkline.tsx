import { memo } from "react";
import styles from "@/features/fleet/fleet.module.css";

interface Props {
  trail: readonly (number | null)[];
  hot: boolean;
}

const WIDTH = 59; // one less than the samples kept, so that the newest touches the edge
const HEIGHT = 30;

export const Sparkline = memo(function Sparkline({ trail, hot }: Props) {
  const offset = WIDTH + 1 - trail.length;
  const points = trail
    .map((value, index) =>
      value === null ? "" : `${offset + index},${(29 - value * 0.28).toFixed(1)}`,
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
