import type { Vps } from "@/api/vps";

export type Hindrance = "pending" | "unknown" | "off" | "disobeys" | "offline";

// Why a server does not do this for the console now; what lasts longest comes first.
export function hindranceOf(
  { status, powers }: Vps,
  power: "shell" | "commands",
): Hindrance | null {
  if (status === "pending") return "pending";
  if (!powers) return "unknown";
  if (!powers[power]) return "off";
  if (!powers.obeys) return "disobeys";
  return status === "offline" ? "offline" : null;
}
