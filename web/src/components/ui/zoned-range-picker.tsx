import dayjsConfig from "@rc-component/picker/generate/dayjs";
import { DatePicker } from "antd";
import dayjs, { type Dayjs } from "dayjs";
import { useMemo } from "react";
import type { FormatPreferences, Weekday } from "@/lib/format/preferences";
import { inputPattern, timeAt } from "@/lib/format/wall-times";
import { localDate } from "@/lib/format/zones";
import { useFormat } from "@/lib/use-format";

const FIRST = { sunday: 0, monday: 1, saturday: 6 } as const satisfies Record<Weekday, number>;
const TYPED = ["YYYY-MM-DD HH:mm"]; // is understood too

// Calendars know only the time zone of the browser. Their dates have local fields that are those of
// clocks in the user's time zone.
function shown(seconds: number, zone: string | undefined): Dayjs {
  return dayjs(localDate(seconds * 1000, zone));
}

function meant(day: Dayjs, zone: string | undefined): number {
  const wall = {
    year: day.year(),
    month: day.month() + 1,
    day: day.date(),
    hour: day.hour(),
    minute: day.minute(),
    second: day.second(),
  };
  return timeAt(wall, zone) / 1000;
}

function pickerOf({ timeZone, firstWeekday }: FormatPreferences) {
  const { RangePicker } = DatePicker.generatePicker<Dayjs>({
    ...dayjsConfig,
    getNow: () => shown(Date.now() / 1000, timeZone),
    locale: { ...dayjsConfig.locale, getWeekFirstDay: () => FIRST[firstWeekday] },
  });
  return RangePicker;
}

interface Props {
  label: string;
  // Seconds since the epoch.
  from: number;
  to: number;
  onChoose: (from: number, to: number) => void;
}

// Choose a time range of the past, in the user's time zone, clock and week.
export function ZonedRangePicker({ label, from, to, onChoose }: Props) {
  const { preferences } = useFormat();
  const { timeZone, clock } = preferences;
  const RangePicker = useMemo(() => pickerOf(preferences), [preferences]);
  const half = clock === "12h";
  return (
    <RangePicker
      size="small"
      showTime={{ format: half ? "hh:mm A" : "HH:mm", use12Hours: half }}
      format={[inputPattern(preferences), ...TYPED]}
      allowClear={false}
      aria-label={label}
      value={[shown(from, timeZone), shown(to, timeZone)]}
      disabledDate={(day) => day.isAfter(shown(Date.now() / 1000, timeZone), "day")}
      onChange={(days) => {
        const [start, end] = (days ?? []).map((day) => (day ? meant(day, timeZone) : undefined));
        if (start !== undefined && end !== undefined && end > start) onChoose(start, end);
      }}
    />
  );
}
