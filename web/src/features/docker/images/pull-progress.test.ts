import { expect, test } from "vitest";
import type { PullEvent } from "@/api/docker";
import { cutOff, EMPTY_PULL, progressed } from "@/features/docker/images/pull-progress";

const following = (...events: PullEvent[]) => events.reduce(progressed, EMPTY_PULL);

test("each layer keeps its line and advances", () => {
  const pull = following(
    { layer: "", status: "Pulling from library/alpine" },
    { layer: "a", status: "Downloading", current_bytes: 1, total_bytes: 4 },
    { layer: "b", status: "Waiting" },
    { layer: "a", status: "Extracting", current_bytes: 9, total_bytes: 4 },
  );
  expect(pull).toEqual({
    status: "Pulling from library/alpine",
    layers: [
      { id: "a", status: "Extracting", share: 1 },
      { id: "b", status: "Waiting", share: null },
    ],
    end: null,
  });
});

test("the last event tells whether the pull succeeded", () => {
  expect(following({ event: "finished" }).end).toEqual({ done: true, reason: "" });
  expect(following({ event: "failed", reason: "no such image" }).end).toEqual({
    done: false,
    reason: "no such image",
  });
});

test("the list of layers is bounded", () => {
  const events = Array.from({ length: 500 }, (_, index) => ({ layer: String(index) }));
  expect(following(...events).layers).toHaveLength(200);
});

test("a stream that is cut off counts as failed", () => {
  expect(cutOff(following({ layer: "a" }), "cut").end).toEqual({ done: false, reason: "cut" });
  expect(cutOff(following({ event: "finished" }), "cut").end).toEqual({ done: true, reason: "" });
});
