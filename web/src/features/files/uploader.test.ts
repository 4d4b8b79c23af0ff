import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { UploadState } from "@/api/uploads";
import { FakeServer, failing, problem, settled, taken } from "@/features/files/fake-server.fixture";

const PART = 32 * 1024 * 1024;
const SIZE = 70 * 1024 * 1024; // three parts

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
});

afterEach(() => vi.useRealTimers());

test("a file goes in parts, and the checksum with the last", async () => {
  await server.add(SIZE);

  expect(server.phases).toEqual(["done"]);
  expect(server.offsets).toEqual([
    [0, PART],
    [PART, PART],
    [2 * PART, SIZE - 2 * PART],
  ]);
  expect(server.parts.map(({ sha256 }) => sha256)).toEqual([null, null, "abc"]);
});

test("an empty file goes as well", async () => {
  await server.add(0);
  expect([server.phases, server.offsets]).toEqual([["done"], [[0, 0]]]);
});

test.each([problem(403), problem(422), problem(503, "Not available there"), problem(413)])(
  "a refusal is told and not repeated: %o",
  async (error) => {
    server.answers = [failing(error)];
    await server.add(10);
    await vi.advanceTimersByTimeAsync(60_000);
    expect([server.phases, server.parts.length, server.queue[0]?.error]).toEqual([
      ["failed"],
      1,
      error,
    ]);
  },
);

test("a server that takes nothing is not asked for ever", async () => {
  server.answers = Array.from({ length: 10 }, () => async () => taken(0));
  await server.add(10);
  expect([server.phases, server.parts.length]).toEqual([["failed"], 3]);
});

describe("a name that is taken", () => {
  test("is asked about before anything is sent, and replaced when one says so", async () => {
    server.there = "file";
    await server.add(10);
    expect([server.phases, server.parts]).toEqual([["asking"], []]);

    server.uploader.replace(server.id);
    await settled();

    expect(server.phases).toEqual(["done"]);
    expect(server.parts[0]?.overwrite).toBe(true);
  });

  test("meanwhile is asked about at the end", async () => {
    server.answers = [
      () => {
        server.received = 10;
        throw problem(409, "In conflict");
      },
    ];
    await server.add(10);
    expect(server.phases).toEqual(["asking"]);

    server.uploader.replace(server.id);
    await settled();
    expect([server.phases, server.offsets[1]]).toEqual([["done"], [10, 0]]);
  });

  test("by a folder fails", async () => {
    server.there = "other";
    await server.add(10);
    expect([server.phases, server.parts]).toEqual([["failed"], []]);
  });
});

test("a pause stops it, and it goes on from where it was", async () => {
  server.answers = [() => new Promise<UploadState>(() => undefined)];
  await server.add(10);
  server.uploader.pause(server.id);
  expect(server.phases).toEqual(["paused"]);
  server.received = 4;

  server.uploader.resume(server.id);
  await settled();

  expect([server.phases, server.offsets[1]]).toEqual([["done"], [4, 6]]);
});

test("what is cancelled leaves no draft", async () => {
  server.answers = [() => new Promise<UploadState>(() => undefined)];
  await server.add(10, 20);
  const id = server.id;
  server.uploader.cancel(id);
  await vi.advanceTimersByTimeAsync(5_000);
  expect([server.phases, server.dropped]).toEqual([
    ["cancelled", "done"],
    [id, id],
  ]);
});

test("two go at a time, and the next when one ends", async () => {
  const ends: ((state: UploadState) => void)[] = [];
  server.answers = Array.from(
    { length: 2 },
    () => () => new Promise<UploadState>((resolve) => ends.push(resolve)),
  );
  await server.add(10, 10, 10);
  expect(server.phases).toEqual(["sending", "sending", "waiting"]);
  ends[0]?.(taken(10, true));
  await settled();
  expect(server.phases).toEqual(["done", "sending", "done"]);
});

test("no more than a thousand wait", () => {
  expect(
    server.uploader.add(
      "server",
      "/",
      Array.from({ length: 1_003 }, () => new File([], "x")),
    ),
  ).toBe(3);
  expect(server.queue).toHaveLength(1_000);
});
