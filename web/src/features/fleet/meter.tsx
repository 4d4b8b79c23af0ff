import { memo } from "react";
import styles from "@/features/fleet/server-card.module.css";
import { levelOf } from "@/lib/format/numbers";

interface Props {
  id: "cpu" | "memory" | "disk";
  label: string;
  percent: number | null | undefined;
  note: string;
}

export const Meter = memo(function Meter({ id, label, percent, note }: Props) {
  const known = percent != null;
  const level = levelOf(percent ?? 0);
  return (
    <div className={`${styles.meter} ${styles[level]}`}>
      <span>{label}</span>
      <b data-testid={id}>
        {known ? Math.round(percent) : "–"}
        <i>%</i>
      </b>
      <u>
        <s style={{ transform: `scaleX(${known ? Math.min(100, percent) / 100 : 0})` }} />
      </u>
      <em title={note}>{note || "\u00a0"}</em>
    </div>
  );
});
