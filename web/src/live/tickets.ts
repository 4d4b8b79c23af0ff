import { api } from "@/api/client";
import { unwrap } from "@/api/problem";

export type LiveResource =
  | "fleet/realtime"
  | `vps/${string}/metrics/realtime`
  | `vps/${string}/shell`
  | `vps/${string}/docker/containers/${string}/logs/follow`;

export async function createTicket(resource: LiveResource): Promise<string> {
  const { ticket } = await unwrap(api.POST("/api/v1/ws-tickets", { body: { resource } }));
  return ticket;
}

export function addressOf(
  resource: LiveResource,
  ticket: string,
  query: Readonly<Record<string, string>> = {},
): string {
  const url = new URL(`/api/v1/${resource}`, window.location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = new URLSearchParams({ ...query, ticket }).toString();
  return url.href;
}
