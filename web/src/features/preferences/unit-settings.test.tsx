import { fireEvent, screen } from "@testing-library/react";
import { beforeEach, expect, test } from "vitest";
import { usePreferences } from "@/features/preferences/preferences";
import { UnitSettings } from "@/features/preferences/unit-settings";
import { useConsoleFormat } from "@/features/preferences/use-console-format";
import { FormatProvider } from "@/lib/use-format";
import { renderPage } from "@/testing/providers";

function Page() {
  return (
    <FormatProvider value={useConsoleFormat()}>
      <UnitSettings />
    </FormatProvider>
  );
}

beforeEach(() => usePreferences.setState(usePreferences.getInitialState(), true));

test("each choice shows in the example at once, and defaults come back", () => {
  renderPage(<Page />);
  const example = () => screen.getByTestId("units-example").textContent ?? "";
  expect(example()).toContain("1.5 GiB at 42.7 Mb/s");

  fireEvent.click(screen.getByText("Bytes per second"));
  expect(example()).toContain("1.5 GiB at 5.1 MiB/s");
  fireEvent.click(screen.getByText("Decimal (kB, MB)"));
  expect(example()).toContain("1.6 GB at 5.3 MB/s");
  fireEvent.click(screen.getByText("24 h"));
  expect(example()).not.toMatch(/[AP]M/i);
  fireEvent.click(screen.getByText("AM/PM"));
  expect(example()).toMatch(/[AP]M/i);

  fireEvent.click(screen.getByRole("button", { name: "Use the defaults of the browser" }));
  expect(example()).toContain("1.5 GiB at 42.7 Mb/s");
  expect(usePreferences.getState().unsaved).toContain("clock");
});
