import { fireEvent, screen } from "@testing-library/react";
import { beforeEach, expect, test, vi } from "vitest";
import { Palette } from "@/app/palette";
import { account, logInAs } from "@/testing/account.fixture";
import { stubApi } from "@/testing/api-stub";
import { renderPage } from "@/testing/providers";
import { permissions, vps } from "@/testing/vps.fixture";

const onClose = vi.fn();

beforeEach(() => {
  logInAs(account("owner"));
  onClose.mockClear();
  // jsdom has no dialogs and no layout.
  HTMLDialogElement.prototype.showModal = () => undefined;
  Element.prototype.scrollIntoView = () => undefined;
  const items = [
    vps({ id: "v1", name: "fra-web-01" }),
    vps({ id: "v2", name: "fra-db-01", powers: permissions({ shell: false }) }),
  ];
  stubApi({ "GET /vps": { items, total: items.length } });
});

async function find(text: string): Promise<HTMLElement> {
  renderPage(<Palette onClose={onClose} />);
  await screen.findByText("fra-web-01");
  const input = screen.getByLabelText("Find a server or an action", { selector: "input" });
  fireEvent.change(input, { target: { value: text } });
  return input;
}

const options = () =>
  [...document.querySelectorAll("[role=option]")].map((option) => option.lastChild?.textContent);

test("servers, terminals and actions are found by a part of their name", async () => {
  await find("FRA-");
  expect(options()).toEqual(["fra-web-01", "fra-db-01", "Terminal on fra-web-01"]);
});

test("a role hides the actions that it does not allow", async () => {
  logInAs(account("viewer"));
  await find("");
  expect(options()).not.toContain("Terminal on fra-web-01");
  expect(options()).not.toContain("Run a script on servers…");
  expect(options()).not.toContain("Add a server");
  expect(options()).not.toContain("Go to users");
  expect(options()).toContain("fra-web-01");
});

test("arrow keys choose in a circle, and Enter opens", async () => {
  const input = await find("fra-");
  fireEvent.keyDown(input, { key: "ArrowUp" });
  fireEvent.keyDown(input, { key: "Enter" });
  expect(onClose).toHaveBeenCalled();
  expect(screen.getByTestId("address").textContent).toBe("/servers/v1/terminal");
});

test("a shorter list keeps a valid choice", async () => {
  const input = await find("");
  fireEvent.keyDown(input, { key: "ArrowUp" });
  fireEvent.change(input, { target: { value: "fra-db" } });
  fireEvent.keyDown(input, { key: "Enter" });
  expect(screen.getByTestId("address").textContent).toBe("/servers/v2");
});

test("nothing happens where nothing matches", async () => {
  const input = await find("no such thing");
  fireEvent.keyDown(input, { key: "ArrowDown" });
  fireEvent.keyDown(input, { key: "Enter" });
  expect(screen.getByText("No server or action matches.")).toBeTruthy();
  expect(onClose).not.toHaveBeenCalled();
});
