import { expect, test } from "vitest";
import { timeZoneNames } from "@/lib/format/zone-names";

test("time zones have their current names, each once", () => {
  const names = timeZoneNames();
  expect(names[0]).toBe("UTC");
  expect(names).toEqual(expect.arrayContaining(["Asia/Kathmandu", "Asia/Kolkata", "Europe/Kyiv"]));
  expect(names).not.toContain("Asia/Calcutta");
  expect(new Set(names).size).toBe(names.length);
});
