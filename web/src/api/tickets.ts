import { api } from "@/api/client";
import { answered } from "@/api/problem";

export type LiveResource = "fleet/realtime" | `vps/${string}/metrics/realtime`;

export async function createTicket(resource: LiveResource): Promise<string> {
  const { ticket } = await answered(api.POST("/api/v1/ws-tickets", { body: { resource } }));
  return ticket;
}
