import type { ReactNode } from "react";
import styles from "@/features/metrics/chart-grid.module.css";

interface Props {
  // True while the charts still show another time range.
  stale?: boolean;
  busy?: boolean;
  children: ReactNode;
}

export function ChartGrid({ stale = false, busy = false, children }: Props) {
  return (
    <div className={stale ? `${styles.grid} ${styles.waiting}` : styles.grid} aria-busy={busy}>
      {children}
    </div>
  );
}
