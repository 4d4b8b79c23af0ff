import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { beforeEach, expect, test } from "vitest";
import { UsersPage } from "@/features/users/users-page";
import { account, logInAs } from "@/testing/account.fixture";
import { problem, stubApi } from "@/testing/api-stub";
import { renderPage } from "@/testing/providers";

const BOB = {
  id: "u2",
  username: "bob",
  email: "bob@example.com",
  role: "member",
  enabled: true,
  created_at: "2026-01-01T00:00:00Z",
  last_login_at: null,
  organisations: ["bob"],
};
const LIST = { "GET /users": { items: [BOB], total: 1 } };

beforeEach(() => logInAs(account("owner", { role: "admin" })));

async function choose(action: string): Promise<void> {
  fireEvent.click(await screen.findByRole("button", { name: "More for bob" }));
  fireEvent.click(await screen.findByRole("menuitem", { name: action }));
}

test("a member of no administrators sees no users", () => {
  const requests = stubApi(LIST);
  logInAs(account("owner"));
  renderPage(<UsersPage />);
  expect(screen.getByText("Administrators of this installation manage users.")).toBeTruthy();
  expect(requests).toEqual([]);
});

test("users are searched by the gateway, and the address keeps the search", async () => {
  const requests = stubApi(LIST);
  renderPage(<UsersPage />, "/users");
  await screen.findByTestId("user");
  fireEvent.change(screen.getByLabelText("Find a name or an address"), { target: { value: "bo" } });
  await waitFor(() => expect(screen.getByTestId("address").textContent).toBe("/users?search=bo"));
  await waitFor(() => expect(requests.at(-1)?.path).toContain("search=bo"));
});

test("a refusal is shown as a sentence", async () => {
  stubApi({
    ...LIST,
    "PATCH /users/u2": () => problem("still-needed", 409, "This is the only administrator."),
  });
  renderPage(<UsersPage />);
  await choose("Disable");
  const dialog = within(await screen.findByRole("dialog"));
  fireEvent.click(dialog.getByRole("button", { name: "Disable" }));
  expect((await screen.findByRole("alert")).textContent).toContain(
    "This is the only administrator.",
  );
});

test("a user is deleted only after the name was typed", async () => {
  const requests = stubApi({ ...LIST, "DELETE /users/u2": {} });
  renderPage(<UsersPage />);
  await choose("Delete");
  const dialog = within(await screen.findByRole("dialog"));
  const button = dialog.getByRole("button", { name: "Delete" }) as HTMLButtonElement;
  expect(button.disabled).toBe(true);
  fireEvent.change(dialog.getByRole("textbox"), { target: { value: "bob" } });
  fireEvent.click(button);
  await waitFor(() => expect(requests.some(({ method }) => method === "DELETE")).toBe(true));
});
