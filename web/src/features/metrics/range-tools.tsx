import { Button, Segmented } from "antd";
import { useTranslation } from "react-i18next";
import { ZonedRangePicker } from "@/components/ui/zoned-range-picker";
import { SPANS, type Span, type TimeRange } from "@/features/metrics/time-range";

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
      <ZonedRangePicker
        label={t("range.absolute")}
        from={from}
        to={to}
        onChoose={(start, end) => onChoose({ from: start, to: end })}
      />
      {zoomed && (
        <Button size="small" onClick={() => onChoose({ span: "6h" })}>
          {t("action.reset")}
        </Button>
      )}
    </>
  );
}
