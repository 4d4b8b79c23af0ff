import { useTranslation } from "react-i18next";
import { useNow } from "@/lib/clock";
import { coarseDuration } from "@/lib/format/durations";
import { useFormat } from "@/lib/use-format";

const REFRESH_INTERVAL = 10_000; // ms

// Shows "4 min ago", with the full time on hover.
export function Ago({ time }: { time: string }) {
  const { t } = useTranslation();
  const format = useFormat();
  const now = useNow(REFRESH_INTERVAL);
  const { unit, count } = coarseDuration((now - Date.parse(time)) / 1000);
  return (
    <time dateTime={time} title={format.dateTime(time)}>
      {unit === "second"
        ? t("time.justNow")
        : t("time.ago", { duration: t(`time.${unit}`, { n: count }) })}
    </time>
  );
}

export function Uptime({ seconds }: { seconds: number }) {
  const { t } = useTranslation();
  const format = useFormat();
  const { unit, count } = coarseDuration(seconds);
  const since = Date.now() - seconds * 1000;
  return (
    <span title={t("time.since", { time: format.dateTime(since) })}>
      {t(`time.${unit}`, { n: count })}
    </span>
  );
}
