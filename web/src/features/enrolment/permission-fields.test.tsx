import { fireEvent, screen } from "@testing-library/react";
import { useState } from "react";
import { expect, test } from "vitest";
import { PermissionFields } from "@/features/enrolment/permission-fields";
import { NO_PERMISSIONS } from "@/features/enrolment/requested-permissions";
import { renderPage } from "@/testing/providers";

let chosen = NO_PERMISSIONS;

function Form() {
  const [value, setValue] = useState(NO_PERMISSIONS);
  chosen = value;
  return <PermissionFields value={value} onChange={setValue} />;
}

test("nothing is allowed until it is ticked", () => {
  renderPage(<Form />);
  expect(
    screen.getAllByRole("checkbox").filter((box) => (box as HTMLInputElement).checked),
  ).toEqual([]);
  expect(screen.queryByText("Runs as")).toBeNull();
});

test("files and Docker start with the lesser permission", () => {
  renderPage(<Form />);
  fireEvent.click(screen.getByRole("checkbox", { name: "Files" }));
  fireEvent.click(screen.getByRole("checkbox", { name: "Docker" }));
  expect(chosen).toMatchObject({ files: "read", docker: "read", shell: false });

  fireEvent.click(screen.getByText("Read and change"));
  expect(chosen.files).toBe("write");
  fireEvent.click(screen.getByRole("checkbox", { name: "Files" }));
  expect(chosen.files).toBe("off");
});

test("folders are entered one per line", () => {
  renderPage(<Form />);
  fireEvent.click(screen.getByRole("checkbox", { name: "Files" }));
  fireEvent.change(screen.getByLabelText("Within these folders"), {
    target: { value: "/srv\n/var/log" },
  });
  expect(chosen.file_roots).toEqual(["/srv", "/var/log"]);
});

test("root is an explicit choice with its consequence spelled out", () => {
  renderPage(<Form />);
  fireEvent.click(screen.getByRole("checkbox", { name: "Terminal" }));
  expect(chosen.run_as).toBe("agent");
  fireEvent.click(screen.getByText("root"));
  expect(chosen.run_as).toBe("root");
  expect(screen.getByText(/full control of the server/)).toBeTruthy();
});
