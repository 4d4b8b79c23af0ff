import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { expect, test } from "vitest";
import { AuditPage } from "@/features/audit/audit-page";
import { auditEntry } from "@/features/audit/entry.fixture";
import { toApi } from "@/features/audit/use-audit-filters";
import { type ApiRequest, problem, stubApi } from "@/testing/api-stub";
import { renderPage } from "@/testing/providers";

const FLEET = { items: [], total: 0 };
const page = (...entries: ReturnType<typeof auditEntry>[]) => ({
  items: entries,
  total: entries.length,
  next_before: null,
});

function shown(address: string, audit: Parameters<typeof stubApi>[0][string]): ApiRequest[] {
  const requests = stubApi({ "GET /audit": audit, "GET /vps": FLEET });
  renderPage(<AuditPage />, address);
  return requests;
}

test("the filters of the address are those of the request", async () => {
  const requests = shown("/audit?actor=alice&kind=file&result=refused&text=srv", page());
  await screen.findByText("No entry matches these filters");
  const asked = requests.find(({ path }) => path.startsWith("/audit"));
  expect(Object.fromEntries(new URLSearchParams(asked?.path.split("?")[1]))).toEqual({
    actor: "alice",
    action: "file,files",
    allowed: "false",
    text: "srv",
    limit: "100",
  });
  fireEvent.click(screen.getByRole("button", { name: "Clear filters" }));
  await screen.findByText("No entries yet");
  expect(screen.getByTestId("address").textContent).toBe("/audit");
});

test("an entry opens with its details, and the address shows it", async () => {
  shown("/audit", page(auditEntry({ reason: "not the owner", allowed: false })));
  fireEvent.click(await screen.findByRole("button", { name: /was not allowed to delete/ }));
  expect(screen.getByTestId("address").textContent).toBe("/audit?entry=7");
  const drawer = within(await screen.findByRole("dialog"));
  expect(drawer.getByText("not the owner")).toBeTruthy();
  fireEvent.click(drawer.getByRole("button", { name: "All entries of this actor" }));
  await waitFor(() =>
    expect(screen.getByTestId("address").textContent).toBe(
      "/audit?actor=user%3Aaaaaaaaa-0000-4000-8000-000000000001",
    ),
  );
});

test("an entry that the list does not have is read by its number", async () => {
  const requests = shown("/audit?entry=3", ({ path }) =>
    Response.json(path.includes("before=4") ? page(auditEntry({ seq: 3 })) : page()),
  );
  expect(await screen.findByText("alice deleted /srv/a on box.")).toBeTruthy();
  expect(requests.some(({ path }) => path === "/audit?before=4&limit=1")).toBe(true);
});

test("a refusal is explained", async () => {
  shown("/audit", () => problem("forbidden", 403, "Your role does not allow this."));
  expect(await screen.findByText("You are not allowed to do this")).toBeTruthy();
});

test("a range ends now, and times are local", () => {
  const none = {
    text: "",
    actor: "",
    object: "",
    kind: "",
    result: "",
    range: "",
    since: "",
    until: "",
  };
  expect(toApi({ ...none, range: "24h" }, Date.parse("2026-03-02T00:00:00Z"))).toEqual({
    since: "2026-03-01T00:00:00.000Z",
  });
  expect(toApi({ ...none, since: "2026-03-01T12:00", until: "nonsense", kind: "x" })).toEqual({
    since: new Date("2026-03-01T12:00").toISOString(),
  });
});
