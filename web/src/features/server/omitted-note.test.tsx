import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { OmittedNote } from "@/features/server/omitted-note";

test("what an agent did not report is counted and listed with the reason", () => {
  render(
    <OmittedNote
      omitted={[
        { collector: "disk", item: "/mnt/nfs", reason: "no_answer", detail: "3 s" },
        { collector: "processes", item: "", reason: "unreadable", detail: "hidepid" },
      ]}
    />,
  );
  expect(screen.getByText("2 items not reported")).toBeTruthy();
  const items = screen.getAllByRole("listitem").map((item) => item.textContent);
  expect(items).toEqual([
    "Disk space /mnt/nfsno answer in time3 s",
    "Processes (everything)cannot be readhidepid",
  ]);
});

test("nothing is said of a complete sample", () => {
  const { container } = render(<OmittedNote omitted={[]} />);
  expect(container.textContent).toBe("");
});
