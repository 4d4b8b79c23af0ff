import { useTranslation } from "react-i18next";
import styles from "@/features/fleet/fleet.module.css";
import type { Filter } from "@/features/fleet/fleet-order";
import { formatBitRate } from "@/lib/format";
import { useTraffic } from "@/lib/use-live";

interface Props {
  counts: Record<Filter, number>;
  filter: Filter;
  onFilter: (filter: Filter) => void;
}

const ENTRIES: readonly { filter: Filter; tone: string | undefined }[] = [
  { filter: "all", tone: undefined },
  { filter: "online", tone: styles.ok },
  { filter: "offline", tone: styles.gone },
  { filter: "waiting", tone: styles.waiting },
];

export function FleetStrip({ counts, filter, onFilter }: Props) {
  const { t } = useTranslation();
  return (
    <section className={styles.strip} aria-label={t("fleet.summary")}>
      {ENTRIES.map((entry) => (
        <button
          key={entry.filter}
          type="button"
          aria-pressed={filter === entry.filter}
          onClick={() => onFilter(entry.filter)}
        >
          <b className={counts[entry.filter] > 0 ? entry.tone : undefined}>
            {counts[entry.filter]}
          </b>
          <span>{t(`fleet.filter.${entry.filter}`)}</span>
        </button>
      ))}
      <Flow />
    </section>
  );
}

function Flow() {
  const { t } = useTranslation();
  const { rx, tx } = useTraffic();
  const down = formatBitRate(rx);
  const up = formatBitRate(tx);
  return (
    <div className={styles.flow} title={t("fleet.nowHint")}>
      <span>{t("fleet.now")}</span>
      <b>↓ {down.value}</b> <em>{down.unit}</em> <b>↑ {up.value}</b> <em>{up.unit}</em>
    </div>
  );
}
