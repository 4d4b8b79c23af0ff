import { describe, expect, test } from "vitest";
import { sizeFormat } from "@/lib/format/sizes";

const GIB = 1024 ** 3;
const usual = sizeFormat("bits", "binary");
const decimal = sizeFormat("bytes", "decimal");
const inBytes = sizeFormat("bytes", "binary");

describe("sizes", () => {
  test("are binary, without a trailing zero", () => {
    expect([0, 1023, 1536, 8 * GIB, 1.5 * 1024 * GIB].map(usual.size)).toEqual([
      "0 B",
      "1023 B",
      "1.5 KiB",
      "8 GiB",
      "1.5 TiB",
    ]);
  });

  test("are decimal where the user wants that", () => {
    expect([999, 1000, 1_536_000, 8 * GIB, 999_960_000].map(decimal.size)).toEqual([
      "999 B",
      "1 kB",
      "1.5 MB",
      "8.6 GB",
      "1 GB",
    ]);
  });

  test("take the next unit before they would read 1024", () => {
    expect(usual.size(GIB - 1)).toBe("1 GiB");
    expect(usual.size(1023 * 1024)).toBe("1023 KiB");
  });

  test("of a share are both in the unit of the total", () => {
    const { share } = usual;
    expect(share(5.6 * GIB, 23.4 * GIB)).toEqual({ used: "5.6", total: "23.4", unit: "GiB" });
    expect(share(0.2 * GIB, 8 * GIB)).toEqual({ used: "0.2", total: "8", unit: "GiB" });
    expect(share(40 * GIB, 80 * GIB)).toEqual({ used: "40", total: "80", unit: "GiB" });
    expect(decimal.share(5e9, 20e9)).toEqual({ used: "5.0", total: "20", unit: "GB" });
  });
});

describe("network rates", () => {
  test("are decimal bits in the unit of the larger one", () => {
    const told = { values: ["42.7", "3.0"], unit: "Mb/s" };
    expect(usual.networkRates(5_337_500, 375_000)).toEqual(told);
    // The unit of sizes has no influence on bits.
    expect(sizeFormat("bits", "decimal").networkRates(5_337_500, 375_000)).toEqual(told);
  });

  test("in bytes have the unit of sizes", () => {
    expect(decimal.networkRate(5_337_500)).toBe("5.3 MB/s");
    expect(inBytes.networkRate(5_337_500)).toBe("5.1 MiB/s");
  });

  test("never go below kilobits or kilobytes", () => {
    expect([usual, decimal, inBytes].map(({ networkRate }) => networkRate(0))).toEqual([
      "0.0 kb/s",
      "0.0 kB/s",
      "0.0 KiB/s",
    ]);
  });

  test("that are unknown are a dash", () => {
    expect([usual.networkRate(null), usual.diskRate(null)]).toEqual(["–", "–"]);
  });

  test("change unit before they would read 1000", () => {
    expect(decimal.networkRate(999_400)).toBe("999 kB/s");
    expect(decimal.networkRate(999_600)).toBe("1.0 MB/s");
  });

  test("have a scale whose steps fit the unit", () => {
    expect([usual, decimal, inBytes].map((format) => format.networkSteps)).toEqual([
      "bits",
      undefined,
      "binary",
    ]);
    expect([usual.networkTick(125_000), decimal.networkTick(125_000)]).toEqual([
      "1 Mb/s",
      "125 kB/s",
    ]);
  });
});

test("rates of disks are always in bytes, in the unit of sizes", () => {
  expect([usual, decimal].map(({ diskRate }) => diskRate(5_337_500))).toEqual([
    "5.1 MiB/s",
    "5.3 MB/s",
  ]);
});

test("traffic is always decimal", () => {
  expect([0, 540e9, 1_234e9].map(usual.traffic)).toEqual(["0 kB", "540 GB", "1.23 TB"]);
  expect(decimal.traffic(1_234e9)).toBe("1.23 TB");
  expect(usual.traffics(1e9, 2e12)).toEqual({ values: ["0", "2"], unit: "TB" });
});
