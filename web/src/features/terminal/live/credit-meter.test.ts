import { expect, test } from "vitest";
import { CreditMeter, STEP } from "@/features/terminal/live/credit-meter";

function metered(): { meter: CreditMeter; reported: number[] } {
  const reported: number[] = [];
  return { meter: new CreditMeter((offset) => reported.push(offset)), reported };
}

test("credits are cumulative and reported once per step", () => {
  const { meter, reported } = metered();
  meter.handled(STEP - 1);
  expect(reported).toEqual([]);
  meter.handled(1);
  meter.handled(10);
  meter.handled(2 * STEP);

  expect(reported).toEqual([STEP, 3 * STEP + 10]);
});

test("unreported bytes stay below one step", () => {
  const { meter, reported } = metered();
  let sum = 0;
  for (const bytes of [1, 5_000, 70_000, 300, 32_767, 12]) {
    meter.handled(bytes);
    sum += bytes;
    expect(sum - (reported.at(-1) ?? 0)).toBeLessThan(STEP);
  }
});

test("a heartbeat repeats the newest offset", () => {
  const { meter, reported } = metered();
  meter.repeat();
  meter.handled(100);
  meter.repeat();

  expect(reported).toEqual([0, 100]);
});
