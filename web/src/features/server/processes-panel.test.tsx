import { fireEvent, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { ProcessesPanel } from "@/features/server/processes-panel";
import { renderPage } from "@/testing/providers";

function process(pid: number, cpu_usage: number | null, memory: number, name = `p${pid}`) {
  return { pid, name, user: "root", cpu_usage, memory };
}

function rows(): string[] {
  return screen.getAllByTestId("process").map((row) => row.textContent ?? "");
}

test("the five busiest processes are shown, and the five largest on request", async () => {
  const processes = [1, 2, 3, 4, 5, 6].map((pid) => process(pid, pid * 30, (10 - pid) << 20));
  renderPage(<ProcessesPanel processes={processes} />);
  await screen.findByText("Top processes");
  expect(rows().map((row) => row.slice(0, 2))).toEqual(["p6", "p5", "p4", "p3", "p2"]);
  expect(rows()[0]).toBe("p66root180 %4 MiB");

  fireEvent.click(screen.getByLabelText("Memory"));
  expect(rows().map((row) => row.slice(0, 2))).toEqual(["p1", "p2", "p3", "p4", "p5"]);
});

test("a name is shown with its control characters, and missing values as a dash", async () => {
  renderPage(<ProcessesPanel processes={[process(7, null, 0, "a\u001bb")]} />);
  expect(await screen.findByText("a‹ESC›b")).toBeTruthy();
  expect(rows()[0]).toContain("–");
});

test("a server that reports no processes has no table", () => {
  renderPage(<ProcessesPanel processes={[]} />);
  expect(screen.queryByText("Top processes")).toBeNull();
});
