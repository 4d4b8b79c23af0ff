import { useTranslation } from "react-i18next";
import type { Vps } from "@/api/vps";
import styles from "@/features/metrics/data-since.module.css";
import { useFormat } from "@/lib/use-format";

interface Props {
  vps: Pick<Vps, "created_at">;
  from: number; // seconds since the epoch
  times: readonly string[];
}

// Explains why the charts begin after the start of the range: the server was added later.
export function DataSince({ vps, from, times }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  const [first] = times;
  if (!first || Date.parse(vps.created_at) / 1000 <= from) return null;
  return <p className={styles.since}>{t("chart.since", { time: format.dateTime(first) })}</p>;
}
