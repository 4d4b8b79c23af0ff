import { fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, test, vi } from "vitest";
import { entryOf } from "@/features/files/browser/entry.fixture";
import { NameDialog } from "@/features/files/dialogs/name-dialog";
import { stubApi } from "@/testing/api-stub";
import { renderPage } from "@/testing/providers";
import { vps } from "@/testing/vps.fixture";

test("a file whose name is not UTF-8 is shown readably and renamed by the name in the list", async () => {
  const requests = stubApi({ "POST /vps/v1/files/rename": {} });
  const onClose = vi.fn();
  const entry = entryOf("touch\uefe9.txt");
  renderPage(
    <NameDialog
      vps={vps()}
      folder="/srv"
      intent={{ kind: "rename", entry }}
      entries={[entry]}
      onOpenFile={vi.fn()}
      onClose={onClose}
    />,
  );
  expect(await screen.findByText(/touch‹\\xe9›\.txt/)).toBeTruthy();

  fireEvent.change(screen.getByRole("textbox"), { target: { value: "touché.txt" } });
  fireEvent.click(screen.getByRole("button", { name: "Rename" }));
  await waitFor(() => expect(onClose).toHaveBeenCalled());
  expect(requests[0]?.body).toEqual({
    path: "/srv/touch\uefe9.txt",
    destination: "/srv/touché.txt",
    overwrite: false,
  });
});
