import { afterEach, expect, test, vi } from "vitest";
import { api } from "@/api/client";
import { takeEarly } from "@/api/early";
import { renewSession, useSession } from "@/api/session";
import { json, stubApi } from "@/testing/api-stub";

afterEach(() => {
  delete window.flotillaEarly;
});

const request = (path: string, method = "GET") =>
  new Request(`http://localhost${path}`, { method });

test("an early answer is taken once, for exactly its request", async () => {
  const answer = Promise.resolve(new Response("early"));
  window.flotillaEarly = { "GET /api/v1/vps?limit=500&offset=0": answer };

  expect(takeEarly(request("/api/v1/vps?limit=500&offset=500"))).toBeUndefined();
  expect(takeEarly(request("/api/v1/vps?limit=500&offset=0", "DELETE"))).toBeUndefined();
  expect(takeEarly(request("/api/v1/vps?limit=500&offset=0"))).toBe(answer);
  expect(takeEarly(request("/api/v1/vps?limit=500&offset=0"))).toBeUndefined();
});

test("an old answer is not used", () => {
  vi.spyOn(performance, "now").mockReturnValue(60_000);
  window.flotillaEarly = { "GET /api/v1/vps": Promise.resolve(new Response("old")) };
  expect(takeEarly(request("/api/v1/vps"))).toBeUndefined();
});

test("the session and the list of servers come from the early answers", async () => {
  useSession.setState({ phase: "unknown", user: null, accessToken: null });
  const requests = stubApi({});
  const grant = { access_token: "t1", user: { id: "u1", username: "ann" } };
  window.flotillaEarly = {
    "POST /api/v1/auth/refresh": Promise.resolve(json(grant)),
    "GET /api/v1/vps?limit=500&offset=0": Promise.resolve(json({ items: [], total: 0 })),
  };

  expect(await renewSession()).toBe(true);
  const query = { limit: 500, offset: 0 };
  expect((await api.GET("/api/v1/vps", { params: { query } })).data).toMatchObject({ total: 0 });
  expect(useSession.getState().accessToken).toBe("t1");
  expect(requests).toEqual([]);
});
