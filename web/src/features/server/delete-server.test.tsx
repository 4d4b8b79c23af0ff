import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { expect, test } from "vitest";
import { DeleteServer } from "@/features/server/delete-server";
import { problem, stubApi } from "@/testing/api-stub";
import { renderPage } from "@/testing/providers";
import { vps } from "@/testing/vps.fixture";

function asked(): HTMLElement {
  fireEvent.click(screen.getByRole("button", { name: "Delete this server" }));
  return screen.getByRole("dialog");
}

function typeName(dialog: HTMLElement, name: string): void {
  fireEvent.change(within(dialog).getByRole("textbox"), { target: { value: name } });
}

test("a server is deleted only after its name was typed", async () => {
  const requests = stubApi({ "DELETE /vps/v1": {} });
  renderPage(<DeleteServer vps={vps({ name: "db-1" })} />, "/servers/v1/settings");
  const dialog = asked();
  const button = within(dialog).getByRole("button", { name: "Delete" }) as HTMLButtonElement;
  expect(button.disabled).toBe(true);
  typeName(dialog, "db-10");
  expect(button.disabled).toBe(true);
  fireEvent.keyDown(within(dialog).getByRole("textbox"), { key: "Enter" });
  expect(requests).toEqual([]);

  typeName(dialog, "db-1");
  fireEvent.click(button);

  await waitFor(() => expect(screen.getByTestId("address").textContent).toBe("/"));
  expect(requests.map(({ method, path }) => `${method} ${path}`)).toEqual(["DELETE /vps/v1"]);
});

test("a failure is shown, and the server stays", async () => {
  stubApi({ "DELETE /vps/v1": () => problem("internal-error", 500) });
  renderPage(<DeleteServer vps={vps()} />, "/servers/v1/settings");
  const dialog = asked();
  typeName(dialog, "fra-web-01");
  fireEvent.click(within(dialog).getByRole("button", { name: "Delete" }));

  expect((await within(dialog).findByRole("alert")).textContent).toContain("Request ID: r1");
  expect(screen.getByTestId("address").textContent).toBe("/servers/v1/settings");
});
