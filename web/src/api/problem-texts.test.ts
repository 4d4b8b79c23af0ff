import i18next from "i18next";
import { expect, test } from "vitest";
import { ApiError, type ProblemType } from "@/api/problem";
import { describeFailure, UnreachableError } from "@/lib/described-error";

function describe(type: ProblemType | undefined, status: number, headers?: HeadersInit) {
  const problem = { ...(type && { type }), detail: "The disk is full.", request_id: "r1" };
  const error = new ApiError(problem, new Response(null, { status, ...(headers && { headers }) }));
  return describeFailure(error, i18next.t);
}

test("a problem says what happened, why, what to do, and its request", () => {
  expect(describe("/problems/agent-failed", 502)).toEqual({
    what: "The action failed on the server",
    why: "The disk is full.",
    todo: "Fix the cause on the server, then try again.",
    requestId: "r1",
  });
});

test("a type that this console does not know still has a text", () => {
  expect(describe("/problems/of-the-future" as ProblemType, 500).what).toBe(
    "Flotilla could not complete the request",
  );
});

test("too many attempts name the time to wait", () => {
  const { todo } = describe("/problems/too-many-attempts", 429, { "Retry-After": "12" });
  expect(todo).toBe("Try again in 12 s.");
});

test("a proxy without its gateway reads like a missing answer", () => {
  const silent = describeFailure(new UnreachableError("no answer"), i18next.t);
  expect(describe(undefined, 502)).toEqual(silent);
});

test("an error of the console itself shows its message", () => {
  expect(describeFailure(new TypeError("x is undefined"), i18next.t)).toMatchObject({
    why: "x is undefined",
    requestId: null,
  });
});
