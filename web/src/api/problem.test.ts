import { expect, test } from "vitest";
import { ApiError, isProblem, isTemporary, isUnreachable, type ProblemType } from "@/api/problem";

function problemOf(status: number, type?: ProblemType): ApiError {
  return new ApiError({ ...(type && { type }), detail: "why" }, new Response(null, { status }));
}

test("a server that cannot do it does not count as an unreachable gateway", () => {
  expect(isUnreachable(problemOf(503, "/problems/agent-unavailable"))).toBe(false);
});

test("a gateway without its database, or a proxy without its gateway, counts as unreachable", () => {
  expect(isUnreachable(problemOf(503, "/problems/dependency-unavailable"))).toBe(true);
  expect(isUnreachable(problemOf(502))).toBe(true);
});

test("the type decides, whatever the title says", () => {
  const error = new ApiError(
    { type: "/problems/agent-offline", title: "Anything" },
    new Response(null, { status: 409 }),
  );
  expect(isProblem(error, "/problems/agent-offline")).toBe(true);
  expect(isProblem(error, "/problems/agent-conflict")).toBe(false);
});

test.each<[number, ProblemType | undefined, boolean]>([
  [409, "/problems/agent-offline", true],
  [429, "/problems/busy", true],
  [504, undefined, true],
  [409, "/problems/agent-conflict", false],
  [503, "/problems/agent-unavailable", false],
  [413, undefined, false],
])("%i %s is temporary: %s", (status, type, expected) => {
  expect(isTemporary(problemOf(status, type))).toBe(expected);
});
