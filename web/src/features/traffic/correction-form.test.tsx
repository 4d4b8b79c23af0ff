import { fireEvent, screen, waitFor } from "@testing-library/react";
import { expect, test } from "vitest";
import type { TrafficMonth } from "@/api/traffic";
import { CorrectionForm } from "@/features/traffic/correction-form";
import { stubApi } from "@/testing/api-stub";
import { renderPage } from "@/testing/providers";

const MONTHS = [
  { month: "2026-05", starts_at: "2026-05-01T00:00:00Z", ends_at: "2026-06-01T00:00:00Z" },
] as TrafficMonth[];

function shown() {
  const requests = stubApi({ "POST /vps/v1/traffic/corrections": {} });
  renderPage(<CorrectionForm id="v1" months={MONTHS} timeZone="UTC" />);
  return requests;
}

function fill(label: string, value: string): void {
  fireEvent.change(screen.getByLabelText(label), { target: { value } });
}

function send(): void {
  fireEvent.click(screen.getByRole("button", { name: "Add correction" }));
}

test("an amount is added in bytes", async () => {
  const requests = shown();
  fill("↓ Received", "1.5");
  fill("Reason", "  as billed  ");
  send();
  await waitFor(() => expect(requests).toHaveLength(1));
  expect(requests[0]?.body).toEqual({
    month: "2026-05",
    rx: 1_500_000_000,
    tx: 0,
    reason: "as billed",
  });
});

test("an amount is subtracted from both directions", async () => {
  const requests = shown();
  fireEvent.click(screen.getByText("Subtract"));
  fill("↓ Received", "1");
  fill("↑ Sent", "2");
  fill("Reason", "counted twice");
  send();
  await waitFor(() => expect(requests).toHaveLength(1));
  expect(requests[0]?.body).toMatchObject({ rx: -1_000_000_000, tx: -2_000_000_000 });
});

test("a correction without an amount or a reason is not sent", async () => {
  const requests = shown();
  send();
  expect(await screen.findByText("Enter the amount received, sent or both.")).toBeTruthy();
  expect(await screen.findByText("Enter a reason.")).toBeTruthy();
  expect(requests).toEqual([]);
});
