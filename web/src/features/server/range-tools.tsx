import { Button, DatePicker, Segmented } from "antd";
import dayjs from "dayjs";
import { useTranslation } from "react-i18next";
import { SPANS, type Span, type TimeRange } from "@/features/server/time-range";

interface Props {
  range: TimeRange;
  from: number;
  to: number;
  onChoose: (range: TimeRange) => void;
}

const NAMES = Object.keys(SPANS) as Span[];

export function RangeTools({ range, from, to, onChoose }: Props) {
  const { t } = useTranslation();
  const zoomed = !("span" in range);
  return (
    <>
      <Segmented<Span | "">
        size="small"
        aria-label={t("range.title")}
        value={zoomed ? "" : range.span}
        onChange={(span) => span !== "" && onChoose({ span })}
        options={NAMES.map((span) => ({ value: span, label: t(`range.${span}`) }))}
      />
      <DatePicker.RangePicker
        size="small"
        showTime={{ format: "HH:mm" }}
        format="YYYY-MM-DD HH:mm"
        allowClear={false}
        aria-label={t("range.absolute")}
        value={[dayjs.unix(from), dayjs.unix(to)]}
        disabledDate={(day) => day.isAfter(dayjs(), "day")}
        onChange={(days) => {
          const [start, end] = days ?? [];
          if (start && end?.isAfter(start)) {
            onChoose({ from: start.unix(), to: end.unix() });
          }
        }}
      />
      {zoomed && (
        <Button size="small" onClick={() => onChoose({ span: "6h" })}>
          {t("action.reset")}
        </Button>
      )}
    </>
  );
}
