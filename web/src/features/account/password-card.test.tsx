import { fireEvent, screen } from "@testing-library/react";
import { beforeEach, expect, test } from "vitest";
import { PasswordCard } from "@/features/account/password-card";
import { account, logInAs } from "@/testing/account.fixture";
import { problem, stubApi } from "@/testing/api-stub";
import { renderPage } from "@/testing/providers";

beforeEach(() => logInAs(account("viewer")));

function submit(): void {
  renderPage(<PasswordCard />);
  const fields = {
    "Current password": "the old password",
    "New password": "the new password",
    "Repeat the password": "the new password",
  };
  for (const [label, value] of Object.entries(fields)) {
    fireEvent.change(screen.getByLabelText(label), { target: { value } });
  }
  fireEvent.click(screen.getByRole("button", { name: "Change the password" }));
}

test("a new password is sent with the current one, and the fields are emptied", async () => {
  const requests = stubApi({ "PUT /auth/password": {} });
  submit();
  expect(await screen.findByText(/^The password is changed\./)).toBeTruthy();
  expect(requests[0]?.body).toEqual({ current: "the old password", new: "the new password" });
  expect((screen.getByLabelText("New password") as HTMLInputElement).value).toBe("");
});

test("a wrong current password is told at its field, and does not renew the session", async () => {
  const requests = stubApi({ "PUT /auth/password": () => problem("wrong-credentials", 401) });
  submit();
  expect(await screen.findByText("This is not your current password.")).toBeTruthy();
  expect(requests.map(({ path }) => path)).toEqual(["/auth/password"]);
});
