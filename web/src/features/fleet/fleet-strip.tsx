import { useTranslation } from "react-i18next";
import type { Counts, Filter } from "@/features/fleet/fleet-order";
import styles from "@/features/fleet/fleet-strip.module.css";
import { useFormat } from "@/lib/use-format";
import { useNetworkRate } from "@/live/use-live";

interface Props {
  counts: Counts;
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
    <section
      className={counts.down > 0 ? `${styles.strip} ${styles.down}` : styles.strip}
      aria-label={t("fleet.summary")}
    >
      {ENTRIES.map((entry) => (
        <button
          key={entry.filter}
          type="button"
          aria-pressed={filter === entry.filter}
          title={
            entry.filter === "waiting"
              ? t("status.pending") + t("separator") + t("status.stale")
              : undefined
          }
          onClick={() => onFilter(entry.filter)}
        >
          <b className={counts[entry.filter] > 0 ? entry.tone : undefined}>
            {counts[entry.filter]}
          </b>
          <span>{t(`fleet.filter.${entry.filter}`)}</span>
        </button>
      ))}
      <NetworkNow />
    </section>
  );
}

function NetworkNow() {
  const { t } = useTranslation();
  const format = useFormat();
  const { rx, tx } = useNetworkRate();
  const down = format.networkRates(rx);
  const up = format.networkRates(tx);
  return (
    <div className={styles.flow} title={t("fleet.nowHint")}>
      <span>{t("fleet.now")}</span>
      <b>↓ {down.values[0]}</b> <em>{down.unit}</em> <b>↑ {up.values[0]}</b> <em>{up.unit}</em>
    </div>
  );
}
