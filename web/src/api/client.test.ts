import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { authorizedFetch, setCredentials } from "@/api/client";
import { UnreachableError } from "@/api/problem";

let token: string;
let renewals: number;
let renewable: boolean;
let seen: (string | null)[];

beforeEach(() => {
  token = "old";
  renewals = 0;
  renewable = true;
  seen = [];
  setCredentials({
    token: () => token,
    renew: async () => {
      renewals += 1;
      if (renewable) token = "new";
      return renewable;
    },
  });
  vi.stubGlobal("fetch", async (request: Request) => {
    seen.push(request.headers.get("Authorization"));
    if (request.headers.get("Authorization") !== "Bearer new")
      return new Response("", { status: 401 });
    return new Response(await request.text());
  });
});

afterEach(() => {
  vi.unstubAllGlobals();
});

function post(path: string): Promise<Response> {
  return authorizedFetch(new Request(`http://localhost${path}`, { method: "POST", body: "hello" }));
}

test("an expired token is renewed once and the request sent again whole", async () => {
  const response = await post("/api/v1/vps");

  expect(await response.text()).toBe("hello");
  expect(seen).toEqual(["Bearer old", "Bearer new"]);
  expect(renewals).toBe(1);
});

test("without a session the refusal is handed on", async () => {
  renewable = false;
  expect((await post("/api/v1/vps")).status).toBe(401);
  expect(seen).toEqual(["Bearer old"]);
});

test("a refused login renews nothing", async () => {
  expect((await post("/api/v1/auth/login")).status).toBe(401);
  expect(renewals).toBe(0);
});

test("no answer at all is told apart from a refusal", async () => {
  vi.stubGlobal("fetch", async () => {
    throw new TypeError("network down");
  });
  await expect(post("/api/v1/vps")).rejects.toBeInstanceOf(UnreachableError);
});
