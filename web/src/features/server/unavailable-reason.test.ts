import { expect, test } from "vitest";
import { unavailableReason } from "@/features/server/unavailable-reason";
import { permissions, vps } from "@/testing/vps.fixture";

test.each([
  [vps(), null],
  [vps({ status: "stale" }), null],
  [vps({ status: "offline" }), "offline"],
  [vps({ powers: permissions({ obeys: false }) }), "untrustedKey"],
  [vps({ powers: permissions({ shell: false }) }), "notAllowed"],
  [vps({ powers: null }), "unknown"],
  [vps({ status: "pending", powers: null }), "pending"],
] as const)("case %#: a terminal is unavailable because of %2$s", (server, reason) => {
  expect(unavailableReason(server, "shell")).toBe(reason);
});

test("the reason that lasts longest comes first", () => {
  const powers = permissions({ shell: false, obeys: false });
  expect(unavailableReason(vps({ status: "offline", powers }), "shell")).toBe("notAllowed");
  expect(unavailableReason(vps({ status: "offline", powers }), "commands")).toBe("untrustedKey");
});
