import { act, fireEvent, screen, waitFor } from "@testing-library/react";
import { beforeEach, expect, test, vi } from "vitest";
import { useSession } from "@/api/session";
import { LoginPage } from "@/features/account/login-page";
import { json, problem, stubApi } from "@/testing/api-stub";
import { renderPage } from "@/testing/providers";

const GRANT = { access_token: "t1", user: { id: "u1", username: "ann" } };

beforeEach(() =>
  useSession.setState({ phase: "out", user: null, accessToken: null, challenge: null }),
);

function submit(username = "ann", password = "secret"): void {
  fireEvent.change(screen.getByLabelText("Username"), { target: { value: username } });
  fireEvent.change(screen.getByLabelText("Password"), { target: { value: password } });
  fireEvent.click(screen.getByRole("button", { name: "Log in" }));
}

const shownError = async () => (await screen.findByRole("alert")).textContent;

test("a login returns to the page that was asked for", async () => {
  const requests = stubApi({ "POST /auth/login": GRANT });
  renderPage(<LoginPage />, "/login?next=%2Fservers%2F7%2Fhistory%3Frange%3D24h");
  submit(" ann ");

  await waitFor(() =>
    expect(screen.getByTestId("address").textContent).toBe("/servers/7/history?range=24h"),
  );
  expect(requests[0]?.body).toEqual({ username: "ann", password: "secret" });
});

test("a wrong password is named as such", async () => {
  stubApi({ "POST /auth/login": () => problem("wrong-credentials", 401) });
  renderPage(<LoginPage />);
  submit();
  expect(await shownError()).toBe("Username or password is wrong.");
});

test("an unexpected error names the request", async () => {
  stubApi({ "POST /auth/login": () => problem("internal-error", 500) });
  renderPage(<LoginPage />);
  submit();
  expect(await shownError()).toContain("request ID: r1");
});

test("a gateway that does not answer is not a wrong password", async () => {
  stubApi({ "POST /auth/login": () => Promise.reject(new TypeError("failed to fetch")) });
  renderPage(<LoginPage />);
  submit();
  expect(await shownError()).toContain("Flotilla does not answer");
});

test("too many attempts count down", async () => {
  stubApi({
    "POST /auth/login": () => {
      const response = json({ type: "/problems/too-many-attempts" }, 429);
      response.headers.set("Retry-After", "2");
      return response;
    },
  });
  renderPage(<LoginPage />);
  submit();
  expect(await shownError()).toBe("Too many attempts. Try again in 2 s.");

  vi.useFakeTimers({ now: Date.now() + 3_000 });
  try {
    await act(() => vi.advanceTimersByTimeAsync(1_000));
  } finally {
    vi.useRealTimers();
  }
  await waitFor(async () => expect(await shownError()).toBe("You can try again now."));
});

const challenged = () =>
  json({ type: "/problems/second-factor-required", challenge: "c1", expires_in: 300 }, 401);

test("an account with a second factor is asked for a code", async () => {
  let attempts = 0;
  const requests = stubApi({
    "POST /auth/login": challenged,
    "POST /auth/login/factor": () => {
      attempts += 1;
      return attempts === 1 ? problem("wrong-code", 401) : json(GRANT);
    },
  });
  renderPage(<LoginPage />, "/login?next=%2Fsettings");
  submit();
  const code = await screen.findByLabelText("Code");
  expect(screen.queryByRole("alert")).toBeNull();
  fireEvent.change(code, { target: { value: "123456" } });
  fireEvent.click(screen.getByRole("button", { name: "Log in" }));
  expect(await shownError()).toContain("The code is wrong");

  fireEvent.change(code, { target: { value: "654321" } });
  fireEvent.click(screen.getByRole("button", { name: "Log in" }));
  await waitFor(() => expect(screen.getByTestId("address").textContent).toBe("/settings"));
  expect(requests.at(-1)?.body).toEqual({ challenge: "c1", code: "654321" });
});

test("a page that is rendered anew still waits for the code", async () => {
  stubApi({ "POST /auth/login": challenged });
  const { unmount } = renderPage(<LoginPage />);
  submit();
  await screen.findByLabelText("Code");
  unmount();
  renderPage(<LoginPage />);
  expect(screen.getByLabelText("Code")).toBeTruthy();
});

test("a log-in that took too long begins again with the password", async () => {
  stubApi({
    "POST /auth/login": challenged,
    "POST /auth/login/factor": () => problem("unauthenticated", 401),
  });
  renderPage(<LoginPage />);
  submit();
  fireEvent.click(await screen.findByRole("button", { name: "Use a recovery code" }));
  fireEvent.change(screen.getByLabelText("Recovery code"), { target: { value: "abcd" } });
  fireEvent.click(screen.getByRole("button", { name: "Log in" }));
  expect(await shownError()).toContain("took too long");
  expect(screen.getByTestId("login-form")).toBeTruthy();
});

test("empty fields are not sent", async () => {
  const requests = stubApi({});
  renderPage(<LoginPage />);
  submit("", "");
  expect(await screen.findByText("Enter your username.")).toBeTruthy();
  expect(requests).toEqual([]);
});
