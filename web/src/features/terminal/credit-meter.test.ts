import { expect, test } from "vitest";
import { CreditMeter, STEP } from "@/features/terminal/credit-meter";

function metered(): { meter: CreditMeter; told: number[] } {
  const told: number[] = [];
  return { meter: new CreditMeter((offset) => told.push(offset)), told };
}

test("credits are cumulative and told once a step", () => {
  const { meter, told } = metered();
  meter.handled(STEP - 1);
  expect(told).toEqual([]);
  meter.handled(1);
  meter.handled(10);
  meter.handled(2 * STEP);

  expect(told).toEqual([STEP, 3 * STEP + 10]);
});

test("what stays untold is never as much as the server lets through", () => {
  const { meter, told } = metered();
  let sum = 0;
  for (const bytes of [1, 5_000, 70_000, 300, 32_767, 12]) {
    meter.handled(bytes);
    sum += bytes;
    expect(sum - (told.at(-1) ?? 0)).toBeLessThan(STEP);
  }
});

test("a sign of life repeats the newest offset", () => {
  const { meter, told } = metered();
  meter.repeat();
  meter.handled(100);
  meter.repeat();

  expect(told).toEqual([0, 100]);
});
