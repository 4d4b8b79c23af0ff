import type { Vps } from "@/api/vps";

export type UnavailableReason = "pending" | "unknown" | "notAllowed" | "untrustedKey" | "offline";

// Return why a server cannot do this now, or null if it can. The reason that lasts longest comes
// first.
export function unavailableReason(
  { status, powers }: Vps,
  permission: "shell" | "commands",
): UnavailableReason | null {
  if (status === "pending") return "pending";
  if (!powers) return "unknown";
  if (!powers[permission]) return "notAllowed";
  if (!powers.obeys) return "untrustedKey";
  return status === "offline" ? "offline" : null;
}
