import { beforeEach, expect, test } from "vitest";
import { logIn, logOut, renewSession, useSession } from "@/api/session";
import { json, problem, stubApi } from "@/testing/api-stub";

const GRANT = { access_token: "t1", user: { id: "u1", username: "ann" } };

beforeEach(() => useSession.setState({ phase: "unknown", user: null, accessToken: null }));

test("a login stores the token in memory only", async () => {
  stubApi({ "POST /auth/login": GRANT });
  await logIn("ann", "secret");
  expect(useSession.getState()).toMatchObject({ phase: "in", accessToken: "t1" });
  expect([localStorage.length, sessionStorage.length]).toEqual([0, 0]);
});

test("renewals at the same time share one request", async () => {
  const requests = stubApi({ "POST /auth/refresh": GRANT });
  expect(await Promise.all([renewSession(), renewSession()])).toEqual([true, true]);
  expect(requests).toHaveLength(1);
  await renewSession();
  expect(requests).toHaveLength(2);
});

test("an expired login session logs the user out", async () => {
  useSession.setState({ phase: "in", accessToken: "old" });
  stubApi({ "POST /auth/refresh": () => problem("unauthenticated", 401) });
  expect(await renewSession()).toBe(false);
  expect(useSession.getState()).toMatchObject({ phase: "out", accessToken: null });
});

test("a gateway that fails does not log the user out", async () => {
  useSession.setState({ phase: "in", accessToken: "t1" });
  stubApi({ "POST /auth/refresh": () => problem("internal-error", 500) });
  await expect(renewSession()).rejects.toThrow("why");
  expect(useSession.getState()).toMatchObject({ phase: "in", accessToken: "t1" });
});

test("a logout that fails keeps the user logged in", async () => {
  useSession.setState({ phase: "in", accessToken: "t1" });
  stubApi({ "POST /auth/logout": () => problem("internal-error", 500) });
  await expect(logOut()).rejects.toThrow();
  expect(useSession.getState().phase).toBe("in");

  stubApi({ "POST /auth/logout": () => json({}) });
  await logOut();
  expect(useSession.getState().phase).toBe("out");
});
