import { useTranslation } from "react-i18next";
import { useNow } from "@/lib/clock";
import { coarseDuration, formatAbsolute } from "@/lib/format";

const REFRESH = 10_000; // ms

// "4 min ago", with the full time on hover.
export function Ago({ time }: { time: string }) {
  const { t, i18n } = useTranslation();
  const now = useNow(REFRESH);
  const { unit, count } = coarseDuration((now - Date.parse(time)) / 1000);
  return (
    <time dateTime={time} title={formatAbsolute(time, i18n.language)}>
      {unit === "second"
        ? t("time.justNow")
        : t("time.ago", { duration: t(`time.${unit}`, { n: count }) })}
    </time>
  );
}

export function Uptime({ seconds }: { seconds: number }) {
  const { t, i18n } = useTranslation();
  const { unit, count } = coarseDuration(seconds);
  const since = Date.now() - seconds * 1000;
  return (
    <span title={t("time.since", { time: formatAbsolute(since, i18n.language) })}>
      {t(`time.${unit}`, { n: count })}
    </span>
  );
}
