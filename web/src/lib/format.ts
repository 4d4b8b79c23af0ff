export const MINUTE = 60; // seconds
export const HOUR = 3_600;
export const DAY = 86_400;

export type Level = "normal" | "warn" | "bad";

// Where a share of something finite becomes worth a look, and then urgent.
export function levelOf(percent: number): Level {
  if (percent > 90) return "bad";
  return percent > 70 ? "warn" : "normal";
}

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;
const BITS = ["kb/s", "Mb/s", "Gb/s", "Tb/s"] as const;
const BYTES = ["kB/s", "MB/s", "GB/s", "TB/s"] as const;

function trimmed(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)));
}

function binaryUnit(bytes: number): number {
  let index = 0;
  let rest = Math.abs(bytes);
  while (rest >= 1024 && index < BINARY.length - 1) {
    rest /= 1024;
    index += 1;
  }
  return index;
}

export function formatBytes(bytes: number): string {
  const index = binaryUnit(bytes);
  const value = bytes / 1024 ** index;
  return `${trimmed(value, value < 100 ? 1 : 0)} ${BINARY[index]}`;
}

export interface Share {
  used: string;
  total: string;
  unit: string;
}

// Both numbers in the unit of the whole, so that they can be compared at a glance.
export function formatShare(used: number, total: number): Share {
  const index = binaryUnit(total);
  const scale = 1024 ** index;
  const part = used / scale;
  const whole = total / scale;
  return {
    used: part.toFixed(part < 10 && index > 0 ? 1 : 0),
    total: trimmed(whole, whole < 100 ? 1 : 0),
    unit: BINARY[index] ?? "B",
  };
}

export interface Quantity {
  value: string;
  unit: string;
}

function decimal(amounts: readonly number[], units: readonly string[]): [number, string] {
  const largest = Math.max(...amounts.map(Math.abs), 0);
  let index = 0;
  // 999.5 would be written as 1000 in the smaller unit.
  while (largest / 1000 ** (index + 1) >= 999.5 && index < units.length - 1) index += 1;
  return [1000 ** (index + 1), units[index] ?? ""];
}

function inUnit(amount: number, scale: number): string {
  const value = amount / scale;
  return value.toFixed(Math.abs(value) < 99.95 ? 1 : 0);
}

const PLAIN = 10_000; // written out below
const [SMALL, LARGE] = [1e-4, 1e15] as const; // between them, without an exponent

// A number of whatever unit, in four digits.
export function formatNumber(value: number, language: string): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < SMALL || size >= LARGE)) {
    return Number(value.toPrecision(3)).toExponential();
  }
  return new Intl.NumberFormat(language, {
    notation: size < PLAIN ? "standard" : "compact",
    maximumSignificantDigits: 4,
  }).format(value);
}

// Network rates in bits, several in one unit.
export function formatBitRates(...bytesPerSecond: number[]): { values: string[]; unit: string } {
  const bits = bytesPerSecond.map((rate) => rate * 8);
  const [scale, unit] = decimal(bits, BITS);
  return { values: bits.map((rate) => inUnit(rate, scale)), unit };
}

export function formatBitRate(bytesPerSecond: number): Quantity {
  const { values, unit } = formatBitRates(bytesPerSecond);
  return { value: values[0] ?? "", unit };
}

export function formatByteRates(...bytesPerSecond: number[]): { values: string[]; unit: string } {
  const [scale, unit] = decimal(bytesPerSecond, BYTES);
  return { values: bytesPerSecond.map((rate) => inUnit(rate, scale)), unit };
}

const TRAFFIC = ["kB", "MB", "GB", "TB", "PB"] as const;

// Amounts of traffic are sold in decimal units; several in one.
export function formatTraffic(...bytes: number[]): { values: string[]; unit: string } {
  const [scale, unit] = decimal(bytes, TRAFFIC);
  return {
    values: bytes.map((amount) => {
      const value = amount / scale;
      return trimmed(value, Math.abs(value) < 9.995 ? 2 : Math.abs(value) < 99.95 ? 1 : 0);
    }),
    unit,
  };
}

export interface Duration {
  unit: "second" | "minute" | "hour" | "day";
  count: number;
}

// The one unit that tells most: two days are "2 d", the day before that is told in hours.
export function coarseDuration(seconds: number): Duration {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < MINUTE) return { unit: "second", count: whole };
  if (whole < HOUR) return { unit: "minute", count: Math.floor(whole / MINUTE) };
  if (whole < 2 * DAY) return { unit: "hour", count: Math.floor(whole / HOUR) };
  return { unit: "day", count: Math.floor(whole / DAY) };
}

export function formatAbsolute(time: number | string | Date, language: string): string {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" }).format(
    new Date(time),
  );
}

// Two times told alike: the day where either is not today, seconds where they are close.
export function formatMoments(
  first: string,
  last: string,
  language: string,
  now = new Date(),
): [string, string] {
  const times = [new Date(first), new Date(last)] as const;
  const today = times.every((time) => time.toDateString() === now.toDateString());
  const close = Math.abs(times[1].getTime() - times[0].getTime()) < 2 * MINUTE * 1000;
  const { format } = new Intl.DateTimeFormat(language, {
    ...(!today && { month: "short", day: "numeric" }),
    ...(times.some((time) => time.getFullYear() !== now.getFullYear()) && { year: "numeric" }),
    hour: "2-digit",
    minute: "2-digit",
    ...(close && { second: "2-digit" }),
    hourCycle: "h23",
  });
  return [format(times[0]), format(times[1])];
}

// Minutes and seconds of a countdown.
export function formatCountdown(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(whole / MINUTE)}:${String(whole % MINUTE).padStart(2, "0")}`;
}
