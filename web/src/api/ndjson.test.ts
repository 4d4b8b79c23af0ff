import { expect, test } from "vitest";
import { jsonLines } from "@/api/ndjson";

async function read(...chunks: (string | Uint8Array)[]): Promise<unknown[]> {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) {
        controller.enqueue(typeof chunk === "string" ? encoder.encode(chunk) : chunk);
      }
      controller.close();
    },
  });
  const values: unknown[] = [];
  for await (const value of jsonLines(body)) values.push(value);
  return values;
}

test("lines are separated wherever the network splits them", async () => {
  expect(await read('{"a"', ':1}\n\n{"a":2}\n{"a":', "3}")).toEqual([{ a: 1 }, { a: 2 }, { a: 3 }]);
});

test("a character split between two chunks is joined", async () => {
  const bytes = new TextEncoder().encode('"测"\n');
  expect(await read(bytes.slice(0, 2), bytes.slice(2))).toEqual(["测"]);
});
