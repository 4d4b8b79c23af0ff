import { expect, test } from "vitest";
import type { DiskHistory } from "@/api/series";
import { fullestMounts } from "@/features/metrics/mounts";

function history(shares: Record<string, (number | null)[]>): DiskHistory {
  return {
    granularity: "1m",
    time: ["2026-05-01T12:00:00Z", "2026-05-01T12:01:00Z"],
    mounts: Object.entries(shares).map(([mount_point, used]) => ({
      mount_point,
      used,
      total: used.map((bytes) => bytes && 200),
    })),
  };
}

test("the fullest mounts are shown in per cent, sorted by name", () => {
  const shares = { "/a": 20, "/b": 80, "/c": 60, "/d": 100, "/e": 40, "/f": 120 };
  const all = Object.fromEntries(Object.entries(shares).map(([name, used]) => [name, [0, used]]));
  const { names, data } = fullestMounts(history(all), 2);
  expect(names).toEqual(["/b", "/c", "/d", "/e", "/f"]);
  expect(data.columns.slice(1).map((column) => column[1])).toEqual([40, 30, 50, 20, 60]);
});

test("a mount without a size has no value", () => {
  const { data } = fullestMounts(history({ "/": [50, 100], "/mnt": [null, 20] }), 2);
  expect(data.columns.slice(1)).toEqual([
    [25, 50],
    [null, 10],
  ]);
});
