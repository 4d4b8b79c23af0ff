export type Level = "normal" | "warn" | "bad";

// The level of a percentage: worth a look above 70, urgent above 90.
export function levelOf(percent: number): Level {
  if (percent > 90) return "bad";
  return percent > 70 ? "warn" : "normal";
}

const UNKNOWN = "–";
const PLAIN = 10_000; // smaller numbers are written out
const [SMALL, LARGE] = [1e-4, 1e15] as const; // numbers between them have no exponent

export interface NumberFormat {
  // A whole number, such as how many lines there are.
  count: (value: number) => string;
  // A number of any unit with four digits.
  number: (value: number) => string;
  // A load average, with two decimals.
  load: (value: number) => string;
  // A dash if it is unknown.
  percent: (percent: number | null) => string;
  wholePercent: (percent: number | null) => string;
  celsius: (degrees: number) => string;
  // Labels of a scale.
  percentTick: (percent: number) => string;
  loadTick: (value: number) => string;
}

export function numberFormat(language: string): NumberFormat {
  const whole = new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
  const [plain, compact] = (["standard", "compact"] as const).map(
    (notation) => new Intl.NumberFormat(language, { notation, maximumSignificantDigits: 4 }),
  ) as [Intl.NumberFormat, Intl.NumberFormat];
  return {
    count: whole.format,
    number: (value) => {
      const size = Math.abs(value);
      if (size !== 0 && (size < SMALL || size >= LARGE)) {
        return Number(value.toPrecision(3)).toExponential();
      }
      return (size < PLAIN ? plain : compact).format(value);
    },
    load: (value) => value.toFixed(2),
    percent: (percent) =>
      percent === null ? UNKNOWN : `${percent < 10 ? percent.toFixed(1) : Math.round(percent)} %`,
    wholePercent: (percent) => (percent === null ? UNKNOWN : `${Math.round(percent)} %`),
    celsius: (degrees) => `${Math.round(degrees)} °C`,
    percentTick: (percent) => `${Number(percent.toFixed(1))} %`,
    loadTick: (value) => String(Number(value.toFixed(2))),
  };
}
