import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { UploadState } from "@/api/uploads";
import {
  accepted,
  FakeServer,
  failing,
  problem,
  settled,
} from "@/features/files/uploads/fake-server.fixture";

const CHUNK_SIZE = 32 * 1024 * 1024;
const SIZE = 70 * 1024 * 1024; // three chunks

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
});

afterEach(() => vi.useRealTimers());

test("a file is sent in chunks, with the checksum in the last one", async () => {
  await server.add(SIZE);

  expect(server.phases).toEqual(["done"]);
  expect(server.offsets).toEqual([
    [0, CHUNK_SIZE],
    [CHUNK_SIZE, CHUNK_SIZE],
    [2 * CHUNK_SIZE, SIZE - 2 * CHUNK_SIZE],
  ]);
  expect(server.chunks.map(({ sha256 }) => sha256)).toEqual([null, null, "abc"]);
});

test("an empty file is sent too", async () => {
  await server.add(0);
  expect([server.phases, server.offsets]).toEqual([["done"], [[0, 0]]]);
});

test.each([
  problem(403, "/problems/agent-forbidden"),
  problem(422, "/problems/validation"),
  problem(503, "/problems/agent-unavailable"),
  problem(413),
])("a refusal is reported and not retried: %o", async (error) => {
  server.answers = [failing(error)];
  await server.add(10);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([server.phases, server.chunks.length, server.queue[0]?.error]).toEqual([
    ["failed"],
    1,
    error,
  ]);
});

test("a server that accepts nothing is given up", async () => {
  server.answers = Array.from({ length: 10 }, () => async () => accepted(0));
  await server.add(10);
  expect([server.phases, server.chunks.length]).toEqual([["failed"], 3]);
});

describe("an existing file", () => {
  test("is reported before anything is sent, and replaced on request", async () => {
    server.there = "file";
    await server.add(10);
    expect([server.phases, server.chunks]).toEqual([["asking"], []]);

    server.uploader.replace(server.id);
    await settled();

    expect(server.phases).toEqual(["done"]);
    expect(server.chunks[0]?.overwrite).toBe(true);
  });

  test("that appears during the upload is reported at the end", async () => {
    server.answers = [
      () => {
        server.received = 10;
        throw problem(409, "/problems/already-exists");
      },
    ];
    await server.add(10);
    expect(server.phases).toEqual(["asking"]);

    server.uploader.replace(server.id);
    await settled();
    expect([server.phases, server.offsets[1]]).toEqual([["done"], [10, 0]]);
  });

  test("that is a folder makes the upload fail", async () => {
    server.there = "other";
    await server.add(10);
    expect([server.phases, server.chunks]).toEqual([["failed"], []]);
  });
});

test("a paused upload continues where it stopped", async () => {
  server.answers = [() => new Promise<UploadState>(() => undefined)];
  await server.add(10);
  server.uploader.pause(server.id);
  expect(server.phases).toEqual(["paused"]);
  server.received = 4;

  server.uploader.resume(server.id);
  await settled();

  expect([server.phases, server.offsets[1]]).toEqual([["done"], [4, 6]]);
});

test("a cancelled upload leaves no partial file", async () => {
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

test("two uploads run at a time, and the next one starts when one ends", async () => {
  const ends: ((state: UploadState) => void)[] = [];
  server.answers = Array.from(
    { length: 2 },
    () => () => new Promise<UploadState>((resolve) => ends.push(resolve)),
  );
  await server.add(10, 10, 10);
  expect(server.phases).toEqual(["sending", "sending", "waiting"]);
  ends[0]?.(accepted(10, true));
  await settled();
  expect(server.phases).toEqual(["done", "sending", "done"]);
});

test("at most a thousand files wait", () => {
  expect(
    server.uploader.add(
      "server",
      "/",
      Array.from({ length: 1_003 }, () => new File([], "x")),
    ),
  ).toBe(3);
  expect(server.queue).toHaveLength(1_000);
});
