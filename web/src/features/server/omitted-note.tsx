import type { TFunction } from "i18next";
import { useTranslation } from "react-i18next";
import type { SampleDetail } from "@/api/vps";
import styles from "@/features/server/omitted-note.module.css";

type Omitted = NonNullable<SampleDetail["omitted"]>;

// The collectors that have a name in the settings of a server.
const NAMED = [
  "cpu",
  "load",
  "memory",
  "disk",
  "disk_io",
  "network",
  "connections",
  "processes",
  "uptime",
  "temperature",
] as const;

function collectorName(t: TFunction, collector: string): string {
  // The console cannot turn it on, so it is not in the settings.
  if (collector === "top_processes") return t("detail.processes");
  const named = NAMED.find((name) => name === collector);
  return named ? t(`collector.${named}`) : collector;
}

// Shows how many items are missing in the newest sample. Unfolded, it lists them with the reasons.
export function OmittedNote({ omitted }: { omitted: Omitted }) {
  const { t } = useTranslation();
  if (omitted.length === 0) return null;
  return (
    <details className={styles.omitted} data-testid="omitted">
      <summary>{t("omitted.title", { count: omitted.length })}</summary>
      <p>{t("omitted.hint")}</p>
      <ul>
        {omitted.map(({ collector, item, reason, detail }) => (
          <li key={`${collector} ${item} ${reason}`}>
            <b>
              {item
                ? `${collectorName(t, collector)} ${item}`
                : t("omitted.whole", { collector: collectorName(t, collector) })}
            </b>
            <span>{t(`omitted.reason.${reason}`)}</span>
            {detail && <small>{detail}</small>}
          </li>
        ))}
      </ul>
    </details>
  );
}
