import { Button, Select } from "antd";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { choose, usePreferences } from "@/features/preferences/preferences";
import { ChoiceRow, SettingRow } from "@/features/preferences/setting-row";
import styles from "@/features/preferences/setting-row.module.css";
import { isTimeZone, NO_CHOICES, type Weekday } from "@/lib/format/preferences";
import { timeZoneNames } from "@/lib/format/zone-names";
import { browserZone } from "@/lib/format/zones";
import { useFormat } from "@/lib/use-format";

const WEEKDAYS: readonly Weekday[] = ["monday", "saturday", "sunday"];
const EXAMPLE = { size: 1_610_612_736, rate: 5_337_500 }; // bytes, bytes per second

// Units, clock, time zone and week. Each choice applies and is saved at once.
export function UnitSettings() {
  const { t } = useTranslation();
  const format = useFormat();
  const { rateUnit, sizeUnit, clock, firstWeekday } = format.preferences;
  const isDefault = usePreferences((preferences) =>
    Object.keys(NO_CHOICES).every((key) => preferences[key as keyof typeof NO_CHOICES] === null),
  );
  return (
    <>
      <ChoiceRow
        name={t("settings.rateUnit")}
        value={rateUnit}
        onChange={(rate_unit) => choose({ rate_unit })}
        options={[
          { value: "bits", label: t("settings.bits") },
          { value: "bytes", label: t("settings.bytes") },
        ]}
      />
      <ChoiceRow
        name={t("settings.sizeUnit")}
        hint={t("settings.sizeUnitHint")}
        value={sizeUnit}
        onChange={(size_unit) => choose({ size_unit })}
        options={[
          { value: "binary", label: t("settings.binary") },
          { value: "decimal", label: t("settings.decimal") },
        ]}
      />
      <ChoiceRow
        name={t("settings.clock")}
        value={clock}
        onChange={(chosen) => choose({ clock: chosen })}
        options={[
          { value: "24h", label: t("settings.clock24h") },
          { value: "12h", label: t("settings.clock12h") },
        ]}
      />
      <TimeZoneRow />
      <ChoiceRow
        name={t("settings.firstWeekday")}
        value={firstWeekday}
        onChange={(first_weekday) => choose({ first_weekday })}
        options={WEEKDAYS.map((day) => ({ value: day, label: format.weekday(day) }))}
      />
      <SettingRow name={t("settings.example")}>
        <span className={styles.example} data-testid="units-example">
          {format.instant(Date.now() / 1000)}
          <br />
          {t("settings.exampleSize", {
            size: format.size(EXAMPLE.size),
            rate: format.networkRate(EXAMPLE.rate),
          })}
        </span>
      </SettingRow>
      <Button disabled={isDefault} onClick={() => choose(NO_CHOICES)}>
        {t("settings.useDefaults")}
      </Button>
    </>
  );
}

const OF_BROWSER = "";

function TimeZoneRow() {
  const { t } = useTranslation();
  const chosen = usePreferences((preferences) => preferences.time_zone);
  const browser = browserZone();
  const options = useMemo(
    () => [
      { value: OF_BROWSER, label: t("settings.browserZone", { zone: browser }) },
      ...timeZoneNames().map((zone) => ({ value: zone, label: zone })),
    ],
    [t, browser],
  );
  const hint =
    chosen !== null && !isTimeZone(chosen)
      ? t("settings.unknownZone", { zone: chosen, browser })
      : t("settings.timeZoneHint");
  return (
    <SettingRow name={t("settings.timeZone")} hint={hint}>
      <Select
        className={styles.zone ?? ""}
        aria-label={t("settings.timeZone")}
        showSearch={{ filterOption: matches }}
        value={chosen ?? OF_BROWSER}
        options={options}
        onChange={(zone) => choose({ time_zone: zone === OF_BROWSER ? null : zone })}
      />
    </SettingRow>
  );
}

// "new york" finds America/New_York.
function matches(term: string, option?: { label: string }): boolean {
  const plain = (text: string) => text.toLowerCase().replaceAll("_", " ");
  return plain(option?.label ?? "").includes(plain(term));
}
