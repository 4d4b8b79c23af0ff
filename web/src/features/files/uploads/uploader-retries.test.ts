import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  FakeServer,
  failing,
  problem,
  settled,
} from "@/features/files/uploads/fake-server.fixture";
import { UnreachableError } from "@/lib/described-error";

const CHUNK_SIZE = 32 * 1024 * 1024;
const SIZE = 70 * 1024 * 1024; // three chunks

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
});

afterEach(() => vi.useRealTimers());

test("after a lost connection the upload continues from the server's offset", async () => {
  server.answers = [failing(new UnreachableError("away"))];
  await server.add(SIZE);
  expect(server.phases).toEqual(["retrying"]);
  server.received = 5_000;

  await vi.advanceTimersByTimeAsync(1_000);

  expect(server.phases).toEqual(["done"]);
  expect(server.offsets[1]).toEqual([5_000, CHUNK_SIZE]);
});

test.each([
  problem(503),
  problem(409, "/problems/agent-offline"),
  problem(503, "/problems/agent-unanswered"),
  problem(429, "/problems/busy"),
])("%o counts as a lost connection", async (error) => {
  server.answers = [failing(error)];
  await server.add(10);
  expect(server.phases).toEqual(["retrying"]);
});

test("a restored connection is used at once", async () => {
  server.answers = [failing(new UnreachableError("away"))];
  await server.add(10);
  server.uploader.retryNow();
  await settled();
  expect(server.phases).toEqual(["done"]);
});

test("a lost connection is given up after ten minutes without progress", async () => {
  server.answers = Array.from({ length: 1_000 }, () => failing(new UnreachableError("away")));
  await server.add(10);
  await vi.advanceTimersByTimeAsync(11 * 60_000);
  expect(server.phases).toEqual(["failed"]);
});

test("a connection lost before the last answer does not send the file again", async () => {
  server.answers = [failing(new UnreachableError("away"))];
  server.checksum = "abc";
  await server.add(10);
  await vi.advanceTimersByTimeAsync(1_000);
  expect([server.phases, server.chunks.length]).toEqual([["done"], 1]);
});

test("a connection lost before the end sends only the rest", async () => {
  server.answers = [
    () => {
      server.received = 10;
      throw new UnreachableError("away");
    },
  ];
  await server.add(10);
  await vi.advanceTimersByTimeAsync(1_000);
  expect([server.phases, server.offsets]).toEqual([
    ["done"],
    [
      [0, 10],
      [10, 0],
    ],
  ]);
});
