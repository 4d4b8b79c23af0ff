import { Button } from "antd";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Gap } from "@/api/vps";
import styles from "@/features/metrics/data-gap-notes.module.css";
import { gapText } from "@/features/metrics/data-gaps";
import { useFormat } from "@/lib/use-format";

const SHOWN = 3; // lines; the rest is folded

export function DataGapNotes({ gaps }: { gaps: readonly Gap[] }) {
  const { t } = useTranslation();
  const format = useFormat();
  const [open, setOpen] = useState(false);
  if (gaps.length === 0) return null;
  const newest = gaps.toSorted((a, b) => Date.parse(b.last_at) - Date.parse(a.last_at));
  const shown = open ? newest : newest.slice(0, SHOWN);
  const folded = gaps.length - SHOWN;
  return (
    <section className={styles.gaps} aria-label={t("dataGaps.title")} data-testid="gaps">
      <ul>
        {shown.map((gap) => (
          <li
            key={`${gap.kind} ${gap.reason} ${gap.first_at}`}
            className={gap.kind === "performance" ? styles.shaded : undefined}
          >
            {gapText(t, gap, format)}
          </li>
        ))}
      </ul>
      {folded > 0 && (
        <Button type="link" size="small" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? t("action.less") : t("action.more", { n: folded })}
        </Button>
      )}
    </section>
  );
}
