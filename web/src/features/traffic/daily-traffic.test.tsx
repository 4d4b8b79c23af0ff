import { fireEvent, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import type { TrafficMonth, TrafficSettings } from "@/api/traffic";
import { DailyTraffic } from "@/features/traffic/daily-traffic";
import { stubApi } from "@/testing/api-stub";
import { renderPage } from "@/testing/providers";

const MONTH = {
  month: "2026-05",
  starts_at: "2026-05-01T00:00:00Z",
  ends_at: "2026-06-01T00:00:00Z",
} as TrafficMonth;
const SETTINGS: TrafficSettings = {
  reset_day: 1,
  time_zone: "UTC",
  counted: "both",
  allowance: 31_000_000_000,
};

test("each day of a period has a bar, and the chosen day is written out", async () => {
  const items = [
    { day: "2026-05-01", rx: 2_000_000_000, tx: 1_000_000 },
    { day: "2026-05-03", rx: 500_000_000, tx: 0 },
  ];
  stubApi({ "GET /vps/v1/traffic/days": { items, total: 2 } });
  renderPage(<DailyTraffic server="v1" month={MONTH} settings={SETTINGS} />);

  expect(await screen.findByText("3 May: 500 MB received, 0 kB sent")).toBeTruthy();
  expect(screen.getAllByTestId("traffic-day")).toHaveLength(31);
  expect(screen.getByText("Even share of the allowance: 1 GB per day")).toBeTruthy();

  const slider = screen.getByRole("slider", { name: "Choose a day" });
  fireEvent.change(slider, { target: { value: "0" } });
  expect(screen.getByText("1 May: 2 GB received, 1 MB sent")).toBeTruthy();
  fireEvent.change(slider, { target: { value: "1" } });
  expect(slider.getAttribute("aria-valuetext")).toBe("2 May: no measurements");
});
