import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { expect, test } from "vitest";
import { OrganisationPage } from "@/features/organisation/organisation-page";
import { account, logInAs } from "@/testing/account.fixture";
import { problem, stubApi } from "@/testing/api-stub";
import { renderPage } from "@/testing/providers";

function member(username: string, role: string, user_id = username) {
  return { user_id, username, email: null, role, enabled: true, joined_at: "2026-01-01T00:00:00Z" };
}

const MEMBERS = "/organisations/o1/members";
const ITEMS = [member("ann", "owner", "u1"), member("bob", "viewer"), member("eve", "owner")];

function routes(role: "viewer" | "admin" | "owner") {
  logInAs(account(role));
  return {
    [`GET ${MEMBERS}`]: { items: ITEMS, total: ITEMS.length },
    "GET /invitations": { items: [], total: 0 },
    "GET /auth/me": account(role) as unknown as Record<string, unknown>,
  };
}

const row = async (name: string) => {
  await screen.findByTestId("members");
  const found = screen.getAllByTestId("member").find((one) => one.dataset["name"] === name);
  if (!found) throw new Error(`no member ${name}`);
  return within(found);
};

test("a viewer sees the members and may leave, and nothing else", async () => {
  const requests = stubApi(routes("viewer"));
  renderPage(<OrganisationPage />);
  expect((await row("bob")).getByText("Viewer")).toBeTruthy();
  expect(screen.queryAllByRole("combobox")).toEqual([]);
  expect(screen.getAllByRole("button").map(({ textContent }) => textContent)).toEqual(["Leave"]);
  expect(requests.map(({ path }) => path)).not.toContain("/invitations");
});

test("an administrator may not change an owner", async () => {
  stubApi(routes("admin"));
  renderPage(<OrganisationPage />);
  expect((await row("bob")).getByRole("combobox")).toBeTruthy();
  expect((await row("eve")).queryByRole("combobox")).toBe(null);
  expect((await row("eve")).queryByRole("button")).toBe(null);
});

test("a member is removed after a question, and a refusal is shown", async () => {
  const requests = stubApi({
    ...routes("owner"),
    [`DELETE ${MEMBERS}/eve`]: () => problem("still-needed", 409, "This is the only owner."),
  });
  renderPage(<OrganisationPage />);
  fireEvent.click((await row("eve")).getByRole("button", { name: "Remove eve" }));
  const dialog = within(await screen.findByRole("dialog"));
  expect(requests.some(({ method }) => method === "DELETE")).toBe(false);
  fireEvent.click(dialog.getByRole("button", { name: "Remove" }));
  const alert = await screen.findByRole("alert");
  expect(alert.textContent).toContain("This is still needed");
  expect(alert.textContent).toContain("This is the only owner.");
});

test("an invitation shows its link once", async () => {
  const requests = stubApi({
    ...routes("owner"),
    "POST /invitations": {
      email: "bob@example.com",
      expires_at: "2026-02-01T00:00:00Z",
      url: "https://flotilla.example/register#secret",
    },
  });
  renderPage(<OrganisationPage />);
  fireEvent.click(await screen.findByRole("button", { name: "Invite" }));
  const dialog = within(await screen.findByRole("dialog"));
  fireEvent.change(dialog.getByLabelText("E-mail"), { target: { value: " bob@example.com " } });
  fireEvent.click(dialog.getByRole("button", { name: "Create the link" }));
  await waitFor(() =>
    expect(dialog.getByText("https://flotilla.example/register#secret")).toBeTruthy(),
  );
  const sent = requests.find(({ method }) => method === "POST");
  expect(sent?.body).toEqual({ email: "bob@example.com", role: "viewer", organisation_id: "o1" });
  fireEvent.click(dialog.getByText("Close", { selector: "button span" }));
  await waitFor(() => expect(screen.queryByTestId("invitation-link")).toBe(null));
});
