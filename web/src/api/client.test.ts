import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { authorizedFetch, setCredentials } from "@/api/client";
import { UnreachableError } from "@/lib/described-error";

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

test("an expired token is renewed once, and the whole request is sent again", async () => {
  const response = await post("/api/v1/vps");

  expect(await response.text()).toBe("hello");
  expect(seen).toEqual(["Bearer old", "Bearer new"]);
  expect(renewals).toBe(1);
});

test("without a login session the refusal is returned", async () => {
  renewable = false;
  expect((await post("/api/v1/vps")).status).toBe(401);
  expect(seen).toEqual(["Bearer old"]);
});

test("a refused login does not renew the session", async () => {
  expect((await post("/api/v1/auth/login")).status).toBe(401);
  expect((await post("/api/v1/auth/login/factor")).status).toBe(401);
  expect(renewals).toBe(0);
});

test("a refused password does not renew the session", async () => {
  const refusal = JSON.stringify({ type: "/problems/wrong-credentials" });
  vi.stubGlobal("fetch", async () => new Response(refusal, { status: 401 }));
  const response = await post("/api/v1/auth/password");
  expect(await response.text()).toBe(refusal);
  expect(renewals).toBe(0);
});

test("an expired token is renewed for the account's own settings too", async () => {
  expect((await post("/api/v1/auth/factors/totp")).status).toBe(200);
  expect(renewals).toBe(1);
});

test("a missing answer is distinguished from a refusal", async () => {
  vi.stubGlobal("fetch", async () => {
    throw new TypeError("network down");
  });
  await expect(post("/api/v1/vps")).rejects.toBeInstanceOf(UnreachableError);
});
