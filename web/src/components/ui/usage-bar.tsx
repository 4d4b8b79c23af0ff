import styles from "@/components/ui/usage-bar.module.css";
import { levelOf } from "@/lib/format/numbers";

// A thin bar that shows a percentage. The caller shows the figure.
export function UsageBar({ percent }: { percent: number }) {
  return (
    <u className={`${styles.bar} ${styles[levelOf(percent)]}`}>
      <s style={{ transform: `scaleX(${Math.min(100, percent) / 100})` }} />
    </u>
  );
}
