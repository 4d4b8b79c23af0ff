import { renderHook, screen, waitFor } from "@testing-library/react";
import type { ReactNode } from "react";
import { expect, test } from "vitest";
import { useFolder } from "@/features/files/browser/use-folder";
import { problem, stubApi } from "@/testing/api-stub";
import { TestProviders } from "@/testing/providers";

const LISTING = { entries: [], truncated: false };

function opened(path: string) {
  const address = `/servers/v1/files?path=${path}`;
  const wrapper = ({ children }: { children: ReactNode }) => (
    <TestProviders address={address}>{children}</TestProviders>
  );
  return renderHook(() => useFolder("v1", path, "/etc"), { wrapper }).result;
}

test("a folder is listed", async () => {
  stubApi({ "GET /vps/v1/files": LISTING });
  const folder = opened("/etc/nginx");
  await waitFor(() => expect(folder.current.listing).toEqual(LISTING));
  expect(folder.current.error).toBeNull();
});

test.each(["file", "link"])("the address of a %s opens it in its folder", async (kind) => {
  stubApi({
    "GET /vps/v1/files": () => problem("agent-invalid", 422),
    "GET /vps/v1/files/stat": { name: "hosts", kind },
  });
  const folder = opened("/etc/hosts");

  await waitFor(() =>
    expect(screen.getByTestId("address").textContent).toBe(
      "/servers/v1/files?path=%2Fetc&file=hosts",
    ),
  );
  expect(folder.current.error).toBeNull();
});

test("a path that does not exist is an error", async () => {
  stubApi({
    "GET /vps/v1/files": () => problem("agent-not-found", 404, "No such folder."),
    "GET /vps/v1/files/stat": () => problem("agent-not-found", 404),
  });
  const folder = opened("/etc/nothing");
  await waitFor(() => expect(folder.current.error?.message).toBe("No such folder."));
});

test("a refusal is not taken for a file", async () => {
  const requests = stubApi({ "GET /vps/v1/files": () => problem("agent-forbidden", 403) });
  const folder = opened("/etc/private");
  await waitFor(() => expect(folder.current.error).not.toBeNull());
  expect(requests.map(({ path }) => path)).toEqual(["/vps/v1/files?path=%2Fetc%2Fprivate"]);
});
