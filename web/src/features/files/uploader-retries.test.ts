import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { UnreachableError } from "@/api/problem";
import { FakeServer, failing, problem, settled } from "@/features/files/fake-server.fixture";

const PART = 32 * 1024 * 1024;
const SIZE = 70 * 1024 * 1024; // three parts

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
});

afterEach(() => vi.useRealTimers());

test("a lost connection is waited for, and the file goes on from where the server has it", async () => {
  server.answers = [failing(new UnreachableError("away"))];
  await server.add(SIZE);
  expect(server.phases).toEqual(["retrying"]);
  server.received = 5_000;

  await vi.advanceTimersByTimeAsync(1_000);

  expect(server.phases).toEqual(["done"]);
  expect(server.offsets[1]).toEqual([5_000, PART]);
});

test.each([problem(503), problem(409, "Offline"), problem(503, "No answer"), problem(429, "Busy")])(
  "%o counts as a lost connection",
  async (error) => {
    server.answers = [failing(error)];
    await server.add(10);
    expect(server.phases).toEqual(["retrying"]);
  },
);

test("a lost connection that comes back is used at once", async () => {
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

test("a connection lost just before the last answer does not send the file again", async () => {
  server.answers = [failing(new UnreachableError("away"))];
  server.checksum = "abc";
  await server.add(10);
  await vi.advanceTimersByTimeAsync(1_000);
  expect([server.phases, server.parts.length]).toEqual([["done"], 1]);
});

test("a connection lost just before the end only has the rest put in place", async () => {
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
