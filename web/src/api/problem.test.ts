import { expect, test } from "vitest";
import { ApiError, isUnreachable } from "@/api/problem";

function told(status: number, title: string): ApiError {
  return new ApiError({ title, detail: "why" }, new Response(null, { status }));
}

test("a server that cannot is not taken for a gateway that is away", () => {
  const error = told(503, "Not available there");
  expect([error.agentFailure, isUnreachable(error)]).toEqual(["unavailable", false]);
});

test("a gateway that is away is", () => {
  const error = told(503, "Service Unavailable");
  expect([error.agentFailure, isUnreachable(error)]).toEqual([null, true]);
});

test("a server that is offline is told from a conflict", () => {
  expect([told(409, "Offline").agentFailure, told(409, "In conflict").agentFailure]).toEqual([
    "offline",
    null,
  ]);
});
