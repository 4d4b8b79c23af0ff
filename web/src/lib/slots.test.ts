import { expect, test } from "vitest";
import { slots } from "@/lib/slots";

test("no more run at a time than there are slots, and all run in the end", async () => {
  const inTurn = slots(2);
  let running = 0;
  let most = 0;
  const work = (value: number) => async () => {
    running += 1;
    most = Math.max(most, running);
    await Promise.resolve();
    running -= 1;
    return value;
  };

  const results = await Promise.all([1, 2, 3, 4, 5].map((value) => inTurn(work(value))));

  expect(results).toEqual([1, 2, 3, 4, 5]);
  expect(most).toBe(2);
});

test("work that fails gives its slot to the next", async () => {
  const inTurn = slots(1);
  const failing = inTurn(() => Promise.reject(new Error("no")));
  const next = inTurn(async () => "yes");

  await expect(failing).rejects.toThrow("no");
  await expect(next).resolves.toBe("yes");
});
