import { addressOf, createTicket } from "@/live/tickets";

export interface ShellRequest {
  session: string | null;
  container: string | null;
  observe: boolean;
  columns: number;
  rows: number;
}

// Return the WebSocket address of a server's shell, with a ticket that is valid once.
export async function shellAddress(vpsId: string, request: ShellRequest): Promise<string> {
  const { session, container, observe, columns, rows } = request;
  const resource = `vps/${vpsId}/shell` as const;
  return addressOf(resource, await createTicket(resource), {
    ...(session !== null && { session }),
    ...(container !== null && { container }),
    ...(observe && { observe: "1" }),
    columns: String(columns),
    rows: String(rows),
  });
}
