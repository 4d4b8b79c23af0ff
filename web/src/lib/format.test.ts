import { describe, expect, test } from "vitest";
import {
  coarseDuration,
  formatBitRates,
  formatByteRates,
  formatBytes,
  formatCountdown,
  formatNumber,
  formatShare,
  levelOf,
} from "@/lib/format";

const GIB = 1024 ** 3;

describe("levels", () => {
  test("turn amber above 70 and red above 90", () => {
    expect([70, 70.1, 90, 90.1].map(levelOf)).toEqual(["normal", "warn", "warn", "bad"]);
  });
});

describe("sizes", () => {
  test("are binary and drop a decimal that says nothing", () => {
    expect([0, 1023, 1536, 8 * GIB, 1.5 * 1024 * GIB].map(formatBytes)).toEqual([
      "0 B",
      "1023 B",
      "1.5 KiB",
      "8 GiB",
      "1.5 TiB",
    ]);
  });

  test("of a share are both in the unit of the whole", () => {
    expect(formatShare(5.6 * GIB, 23.4 * GIB)).toEqual({ used: "5.6", total: "23.4", unit: "GiB" });
    expect(formatShare(0.2 * GIB, 8 * GIB)).toEqual({ used: "0.2", total: "8", unit: "GiB" });
    expect(formatShare(40 * GIB, 80 * GIB)).toEqual({ used: "40", total: "80", unit: "GiB" });
  });
});

describe("rates", () => {
  test("of a network are decimal bits in the unit of the larger", () => {
    expect(formatBitRates(5_337_500, 375_000)).toEqual({ values: ["42.7", "3.0"], unit: "Mb/s" });
  });

  test("never go below kilobits", () => {
    expect(formatBitRates(0)).toEqual({ values: ["0.0"], unit: "kb/s" });
  });

  test("change unit before they would read 1000", () => {
    expect(formatByteRates(999_400)).toEqual({ values: ["999"], unit: "kB/s" });
    expect(formatByteRates(999_600)).toEqual({ values: ["1.0"], unit: "MB/s" });
  });
});

describe("durations", () => {
  test("are told in the one unit that says most", () => {
    expect([59, 60, 3_599, 3_600, 172_799, 172_800].map(coarseDuration)).toEqual([
      { unit: "second", count: 59 },
      { unit: "minute", count: 1 },
      { unit: "minute", count: 59 },
      { unit: "hour", count: 1 },
      { unit: "hour", count: 47 },
      { unit: "day", count: 2 },
    ]);
  });

  test("of the future count as none, since clocks differ", () => {
    expect(coarseDuration(-5)).toEqual({ unit: "second", count: 0 });
  });

  test("that run down keep two digits of seconds", () => {
    expect([600, 59.2, 0, -3].map(formatCountdown)).toEqual(["10:00", "1:00", "0:00", "0:00"]);
  });
});

describe("numbers of whatever unit", () => {
  test("have four digits, however large or small they are", () => {
    const told = [0, -0.5, 1.23456, 9_876.5, 123_456, 1_796_000_000].map((value) =>
      formatNumber(value, "en"),
    );
    expect(told).toEqual(["0", "-0.5", "1.235", "9,877", "123.5K", "1.796B"]);
    expect([0.00004, -1.7e308].map((value) => formatNumber(value, "en"))).toEqual([
      "4e-5",
      "-1.7e+308",
    ]);
  });
});
