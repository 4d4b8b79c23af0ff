import { fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { entryOf } from "@/features/files/browser/entry.fixture";
import { TransferDialog } from "@/features/files/dialogs/transfer-dialog";
import { json, problem, stubApi } from "@/testing/api-stub";
import { renderPage } from "@/testing/providers";
import { vps } from "@/testing/vps.fixture";

const onClose = vi.fn();

function shown(kind: "move" | "copy", ...names: string[]): void {
  onClose.mockClear();
  const entries = names.map((name) => entryOf(name));
  renderPage(
    <TransferDialog vps={vps()} folder="/srv" kind={kind} entries={entries} onClose={onClose} />,
  );
}

function target(folder: string): void {
  fireEvent.change(screen.getByLabelText("Target folder"), { target: { value: folder } });
}

// A button ignores clicks until its spinner has gone.
async function press(name: string): Promise<void> {
  const button = await screen.findByRole("button", { name: new RegExp(`${name}$`) });
  await waitFor(() => expect(button.className).not.toContain("loading"));
  fireEvent.click(button);
}

test("a copy in the same folder gets another name", async () => {
  const requests = stubApi({ "POST /vps/v1/files/copy": {} });
  shown("copy", "a.txt");
  await press("Copy");
  await waitFor(() => expect(onClose).toHaveBeenCalled());
  expect(requests[0]?.body).toEqual({
    path: "/srv/a.txt",
    destination: "/srv/a (2).txt",
    overwrite: false,
  });
});

test("a move needs another folder, with an absolute path", () => {
  shown("move", "a.txt");
  const button = screen.getByRole("button", { name: "Move" }) as HTMLButtonElement;
  expect(button.disabled).toBe(true);
  target("tmp");
  expect(button.disabled).toBe(true);
  target("/tmp/");
  expect(button.disabled).toBe(false);
});

test("only the files that exist are replaced, and only on request", async () => {
  const requests = stubApi({
    "POST /vps/v1/files/rename": ({ body }) => {
      const { destination, overwrite } = body as { destination: string; overwrite: boolean };
      const exists = destination === "/tmp/b.txt" && !overwrite;
      return exists ? problem("already-exists", 409, "/tmp/b.txt exists.") : json({});
    },
  });
  shown("move", "a.txt", "b.txt");
  target("/tmp");
  await press("Move");
  expect(await screen.findByText(/Replace the existing files\?/)).toBeTruthy();
  expect(onClose).not.toHaveBeenCalled();

  await press("Replace");
  await waitFor(() => expect(onClose).toHaveBeenCalled());
  const moves = requests.filter(({ method }) => method === "POST").map(({ body }) => body);
  expect(moves.at(-1)).toEqual({
    path: "/srv/b.txt",
    destination: "/tmp/b.txt",
    overwrite: true,
  });
  expect(moves).toHaveLength(3);
});

test("what failed is listed while the rest is done", async () => {
  stubApi({
    "POST /vps/v1/files/rename": ({ body }) =>
      (body as { path: string }).path === "/srv/b.txt"
        ? json({})
        : problem("agent-forbidden", 403, "No permission."),
  });
  shown("move", "a.txt", "b.txt", "c.txt");
  target("/tmp");
  await press("Move");
  const failures = await screen.findByRole("alert");
  expect(failures.textContent).toContain("a.txt");
  expect(failures.textContent).toContain("c.txt");
  expect(failures.textContent).not.toContain("b.txt");
});
