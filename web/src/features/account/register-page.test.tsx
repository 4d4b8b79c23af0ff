import { fireEvent, screen, waitFor } from "@testing-library/react";
import { beforeEach, expect, test } from "vitest";
import { useSession } from "@/api/session";
import { RegisterPage } from "@/features/account/register-page";
import { account } from "@/testing/account.fixture";
import { json, problem, stubApi } from "@/testing/api-stub";
import { renderPage } from "@/testing/providers";

const PASSWORD = "a long password";
const GRANT = { access_token: "t1", user: account("viewer"), preferences: {} };

beforeEach(() => useSession.setState({ phase: "unknown", user: null, accessToken: null }));

function submit(username = "bob", password = PASSWORD, repeat = password): void {
  renderPage(<RegisterPage />, "/register#secret");
  fireEvent.change(screen.getByLabelText("Username"), { target: { value: username } });
  fireEvent.change(screen.getByLabelText("Password"), { target: { value: password } });
  fireEvent.change(screen.getByLabelText("Repeat the password"), { target: { value: repeat } });
  fireEvent.click(screen.getByRole("button", { name: "Register and log in" }));
}

test("an invited person registers, is logged in, and comes to the fleet", async () => {
  const requests = stubApi({ "POST /auth/register": account("viewer"), "POST /auth/login": GRANT });
  submit();
  await waitFor(() => expect(screen.getByTestId("address").textContent).toBe("/"));
  expect(requests.map(({ path, body }) => [path, body])).toEqual([
    ["/auth/register", { token: "secret", username: "bob", password: PASSWORD }],
    ["/auth/login", { username: "bob", password: PASSWORD }],
  ]);
  expect(useSession.getState().phase).toBe("in");
});

test("a name that exists is named at its field", async () => {
  const errors = [{ field: "username", message: "There is already a user `bob`." }];
  stubApi({
    "POST /auth/register": () => json({ type: "/problems/already-exists", errors }, 409),
  });
  submit();
  expect(await screen.findByText("There is already a user `bob`.")).toBeTruthy();
  expect(screen.getByLabelText("Username").getAttribute("aria-invalid")).toBe("true");
});

test("an invitation that ended says so", async () => {
  stubApi({ "POST /auth/register": () => problem("invalid-invitation", 403) });
  submit();
  expect((await screen.findByRole("alert")).textContent).toContain("This invitation is not valid");
});

test("two passwords that differ are not sent", async () => {
  const requests = stubApi({});
  submit("bob", PASSWORD, `${PASSWORD}!`);
  expect(await screen.findByText("The two passwords differ.")).toBeTruthy();
  expect(requests).toEqual([]);
});

test("a link without its token says so", () => {
  renderPage(<RegisterPage />, "/register");
  expect(screen.getByRole("alert").textContent).toContain("This link is not complete");
  expect(screen.queryByLabelText("Username")).toBe(null);
});
