import { describe, expect, test } from "vitest";
import {
  MAX_CONCURRENT,
  next,
  type Phase,
  rateOf,
  secondsLeft,
  startable,
  type Upload,
  type UploadEvent,
  uploadOf,
} from "@/features/files/uploads/upload-queue";

const about = { id: "a", server: "s", folder: "/tmp", name: "x", size: 1_000 };
const upload = uploadOf(about);

function following(...events: UploadEvent[]): Upload {
  const [one] = events.reduce(next, [upload] as readonly Upload[]);
  if (!one) throw new Error("the upload is gone");
  return one;
}

const id = "a";
const started: UploadEvent = { type: "started", id };
const lost: UploadEvent = { type: "lost", id, retryAt: 5, error: new Error("away") };

describe("an upload", () => {
  test("goes from waiting to done", () => {
    const done = following(
      started,
      { type: "moved", id, sent: 900, at: 0 },
      { type: "sentAll", id },
      { type: "done", id },
    );
    expect(done).toMatchObject({ phase: "done", sent: 1_000 });
  });

  test("asks before it replaces a file, and continues with the answer", () => {
    const asking = following(started, { type: "exists", id });
    expect(asking.phase).toBe("asking");
    const [unwrap] = next([asking], { type: "replaced", id });
    expect(unwrap).toMatchObject({ phase: "waiting", overwrite: true });
  });

  test("that lost its connection keeps its progress and starts again", () => {
    const retrying = following(started, { type: "moved", id, sent: 600, at: 0 }, lost);
    expect(retrying).toMatchObject({ phase: "retrying", sent: 600, retryAt: 5 });
    const [again] = next([retrying], started);
    expect(again).toMatchObject({ phase: "sending", retryAt: null, error: null });
  });

  test("that was paused ignores late events of its last request", () => {
    const paused = following(
      started,
      { type: "moved", id, sent: 600, at: 0 },
      { type: "paused", id },
    );
    for (const late of [
      { type: "moved", id, sent: 700, at: 1 },
      lost,
      { type: "failed", id, error: 1 },
      { type: "done", id },
    ] satisfies UploadEvent[]) {
      expect(next([paused], late)).toEqual([paused]);
    }
  });

  test("that failed or was paused can be resumed", () => {
    for (const end of [
      { type: "failed", id, error: 1 },
      { type: "paused", id },
    ] satisfies UploadEvent[]) {
      expect(following(started, end, { type: "resumed", id })).toMatchObject({
        phase: "waiting",
        error: null,
      });
    }
  });

  test("that ended ignores every event", () => {
    const ends: Phase[] = ["done", "cancelled"];
    for (const phase of ends) {
      const ended = { ...upload, phase };
      for (const type of ["started", "paused", "resumed", "cancelled", "replaced"] as const) {
        expect(next([ended], { type, id })).toEqual([ended]);
      }
    }
  });
});

describe("the queue", () => {
  const many = ["a", "b", "c"].map((one) => uploadOf({ ...about, id: one }));

  test("starts a bounded number at a time, in order", () => {
    let queue = next([], { type: "added", uploads: many });
    const order: string[] = [];
    for (let one = startable(queue); one; one = startable(queue)) {
      order.push(one.id);
      queue = next(queue, { type: "started", id: one.id });
    }
    expect(order).toEqual(["a", "b", "c"].slice(0, MAX_CONCURRENT));
    queue = next(queue, { type: "done", id: "a" });
    expect(startable(queue)?.id).toBe("c");
  });

  test("keeps the slot of a retrying upload, and frees the slot of one that asks", () => {
    let queue = next([], { type: "added", uploads: many });
    for (const one of ["a", "b"]) queue = next(queue, { type: "started", id: one });
    expect(startable(next(queue, { ...lost, id: "a" }))).toBeUndefined();
    expect(startable(next(queue, { type: "exists", id: "a" }))?.id).toBe("c");
  });

  test("drops ended uploads when cleared, and keeps failed ones", () => {
    let queue = next([], { type: "added", uploads: many });
    for (const one of ["a", "b"]) queue = next(queue, { type: "started", id: one });
    queue = next(queue, { type: "done", id: "a" });
    queue = next(queue, { type: "failed", id: "b", error: 1 });
    queue = next(queue, { type: "cancelled", id: "c" });
    expect(next(queue, { type: "cleared" }).map((one) => one.id)).toEqual(["b"]);
  });
});

describe("the rate", () => {
  const moves = (...points: [number, number][]): UploadEvent[] =>
    points.map(([at, sent]) => ({ type: "moved", id, sent, at }));

  test("covers the last seconds", () => {
    const sending = following(started, ...moves([0, 0], [1_000, 100], [7_000, 400], [9_000, 600]));
    expect(rateOf(sending)).toBe(100);
    expect(secondsLeft(sending)).toBe(4);
  });

  test("is unknown at first, and restarts when the server has fewer bytes", () => {
    expect(rateOf(following(started, ...moves([0, 10])))).toBeNull();
    const back = following(started, ...moves([0, 0], [1_000, 600], [2_000, 200]));
    expect(rateOf(back)).toBeNull();
    expect(back.sent).toBe(200);
  });
});
