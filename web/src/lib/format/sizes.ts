import type { RateUnit, SizeUnit } from "@/lib/format/preferences";

export interface Share {
  used: string;
  total: string;
  unit: string;
}

// Amounts that are shown together, in the same unit.
export interface Quantities {
  values: string[];
  unit: string;
}

// How to place the ticks of a scale, where powers of ten do not fit the unit.
export type Steps = "binary" | "bits" | undefined;

export interface SizeFormat {
  // Memory, disk space, files.
  size: (bytes: number) => string;
  // Both numbers in the unit of the total, so that they can be compared at a glance.
  share: (used: number, total: number) => Share;
  sizeSteps: Steps;

  // Network rates. A dash if it is unknown.
  networkRate: (bytesPerSecond: number | null) => string;
  networkRates: (...bytesPerSecond: number[]) => Quantities;
  networkTick: (bytesPerSecond: number) => string;
  networkSteps: Steps;

  // Rates of disks and files, always in bytes. A dash if it is unknown.
  diskRate: (bytesPerSecond: number | null) => string;
  diskTick: (bytesPerSecond: number) => string;
  diskSteps: Steps;

  // Amounts of traffic, in decimal units as they are sold.
  traffic: (bytes: number) => string;
  traffics: (...bytes: number[]) => Quantities;
}

interface Scale {
  base: 1000 | 1024;
  // The first one is for amounts below the base.
  units: readonly string[];
}

const BINARY: Scale = { base: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] };
const DECIMAL: Scale = { base: 1000, units: ["B", "kB", "MB", "GB", "TB", "PB"] };
const BITS: Scale = { base: 1000, units: ["b", "kb", "Mb", "Gb", "Tb", "Pb"] };
const UNKNOWN = "–";

function trimmed(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)));
}

// The index of the unit for an amount. An amount that would be shown as 1000 or 1024 takes the next
// unit.
function unitOf(amount: number, { base, units }: Scale, least = 0): number {
  let index = 0;
  let rest = Math.abs(amount);
  while (index < units.length - 1 && (index < least || rest >= base - 0.5)) {
    rest /= base;
    index += 1;
  }
  return index;
}

function largest(amounts: readonly number[]): number {
  return Math.max(...amounts.map(Math.abs), 0);
}

// Rates never go below the kilobit or kilobyte, so that the unit does not jump while nothing happens.
function rates(amounts: readonly number[], scale: Scale): Quantities {
  const index = unitOf(largest(amounts), scale, 1);
  const divisor = scale.base ** index;
  return {
    values: amounts.map((amount) => {
      const value = amount / divisor;
      return value.toFixed(Math.abs(value) < 99.95 ? 1 : 0);
    }),
    unit: `${scale.units[index]}/s`,
  };
}

function joined({ values, unit }: Quantities): string {
  return `${values[0]} ${unit}`;
}

function tick({ values, unit }: Quantities): string {
  return `${Number(values[0])} ${unit}`;
}

function sizeText(bytes: number, scale: Scale): string {
  const index = unitOf(bytes, scale);
  const value = bytes / scale.base ** index;
  return `${trimmed(value, value < 100 ? 1 : 0)} ${scale.units[index]}`;
}

function shareOf(used: number, total: number, scale: Scale): Share {
  const index = unitOf(total, scale);
  const divisor = scale.base ** index;
  const part = used / divisor;
  const whole = total / divisor;
  return {
    used: part.toFixed(part < 10 && index > 0 ? 1 : 0),
    total: trimmed(whole, whole < 100 ? 1 : 0),
    unit: scale.units[index] ?? "B",
  };
}

function traffics(...bytes: number[]): Quantities {
  const index = unitOf(largest(bytes), DECIMAL, 1);
  return {
    values: bytes.map((amount) => {
      const value = amount / DECIMAL.base ** index;
      return trimmed(value, Math.abs(value) < 9.995 ? 2 : Math.abs(value) < 99.95 ? 1 : 0);
    }),
    unit: DECIMAL.units[index] ?? "",
  };
}

export function sizeFormat(rateUnit: RateUnit, sizeUnit: SizeUnit): SizeFormat {
  const scale = sizeUnit === "binary" ? BINARY : DECIMAL;
  const inBits = rateUnit === "bits";
  const byteSteps = sizeUnit === "binary" ? "binary" : undefined;
  const networkRates = (...bytesPerSecond: number[]) =>
    inBits
      ? rates(
          bytesPerSecond.map((rate) => rate * 8),
          BITS,
        )
      : rates(bytesPerSecond, scale);
  return {
    size: (bytes) => sizeText(bytes, scale),
    share: (used, total) => shareOf(used, total, scale),
    sizeSteps: byteSteps,
    networkRate: (rate) => (rate === null ? UNKNOWN : joined(networkRates(rate))),
    networkRates,
    networkTick: (rate) => tick(networkRates(rate)),
    networkSteps: inBits ? "bits" : byteSteps,
    diskRate: (rate) => (rate === null ? UNKNOWN : joined(rates([rate], scale))),
    diskTick: (rate) => tick(rates([rate], scale)),
    diskSteps: byteSteps,
    traffic: (bytes) => joined(traffics(bytes)),
    traffics,
  };
}
