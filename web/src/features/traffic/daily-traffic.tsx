import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { type TrafficMonth, type TrafficSettings, trafficDaysQuery } from "@/api/traffic";
import { Panel } from "@/components/ui/panel";
import styles from "@/features/traffic/daily-traffic.module.css";
import {
  dailyShare,
  type PeriodDay,
  periodDays,
  shownDirections,
  topOf,
} from "@/features/traffic/period-days";
import { MINUTE } from "@/lib/format/durations";
import { useFormat } from "@/lib/use-format";

interface Props {
  server: string;
  month: TrafficMonth;
  settings: TrafficSettings;
}

// A bar for each day of the period. The chosen day, by default the newest, is written out.
export function DailyTraffic({ server, month, settings }: Props) {
  const { t } = useTranslation();
  const format = useFormat();
  const [chosen, setChosen] = useState<number | null>(null);
  const { data } = useQuery({
    ...trafficDaysQuery(server, month.month),
    refetchInterval: MINUTE * 1000,
  });
  if (!data) return null;
  const { counted, time_zone: timeZone } = settings;
  const days = periodDays(month, timeZone, data.items);
  const share = dailyShare(days, counted, settings.allowance ?? null);
  const top = topOf(days, counted, share);
  const newest = days.findLastIndex(({ measured }) => measured !== null);
  const at = Math.min(chosen ?? Math.max(0, newest), days.length - 1);
  const spoken = ({ day, measured }: PeriodDay) => {
    const date = format.plainDay(day);
    return measured
      ? t("traffic.day", { date, rx: format.traffic(measured.rx), tx: format.traffic(measured.tx) })
      : t("traffic.noDay", { date });
  };
  const text = days[at] ? spoken(days[at]) : "";
  return (
    <Panel title={t("traffic.daily")} className={styles.daily}>
      <p className={styles.chosen}>{text}</p>
      <div className={styles.scale}>
        <span>{format.traffic(top)}</span>
        {share !== null && (
          <span>{t("traffic.dailyShare", { amount: format.traffic(share) })}</span>
        )}
      </div>
      <div className={styles.bars} role="img" aria-label={t("traffic.daily")}>
        {share !== null && share <= top && (
          <hr className={styles.share} style={{ bottom: `${(100 * share) / top}%` }} />
        )}
        {days.map(({ day, measured }, index) => (
          <div
            key={day}
            className={index === at ? `${styles.day} ${styles.on}` : styles.day}
            data-testid="traffic-day"
            onPointerEnter={() => setChosen(index)}
            onPointerDown={() => setChosen(index)}
          >
            {measured &&
              shownDirections(counted).map((direction) => (
                <i
                  key={direction}
                  className={styles[direction]}
                  style={{ height: `${(100 * measured[direction]) / top}%` }}
                />
              ))}
          </div>
        ))}
      </div>
      <input
        type="range"
        className={styles.slider}
        aria-label={t("traffic.chooseDay")}
        aria-valuetext={text}
        min={0}
        max={days.length - 1}
        value={at}
        onChange={({ target }) => setChosen(target.valueAsNumber)}
      />
      <div className={styles.ends}>
        {[days[0], days.at(-1)].map(
          (end) => end && <span key={end.day}>{format.plainDay(end.day)}</span>,
        )}
      </div>
      <ul className={styles.key}>
        {shownDirections(counted).map((direction) => (
          <li key={direction}>
            <i className={styles[direction]} />
            {direction === "rx" ? t("traffic.in") : t("traffic.out")}
          </li>
        ))}
      </ul>
    </Panel>
  );
}
