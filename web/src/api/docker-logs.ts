import type { ContainerLogLine } from "@/api/docker";
import { ApiError } from "@/api/problem";
import { addressOf, createTicket, type LiveResource } from "@/api/tickets";
import { LiveSocket } from "@/lib/live-socket";

export interface FollowHandlers {
  onOpen: () => void;
  onLost: () => void;
  onLines: (lines: readonly ContainerLogLine[]) => void;
  onEnd: (reason: string) => void;
  onFailure: (error: unknown) => void;
}

type Message = { lines: ContainerLogLine[] } | { event: "end"; reason: string };

const TOO_MANY = 429;

export function followContainerLog(
  id: string,
  cid: string,
  tail: number,
  on: FollowHandlers,
): { acknowledge: (count: number) => void; close: () => void } {
  const resource: LiveResource = `vps/${id}/docker/containers/${cid}/logs/follow`;
  const socket = new LiveSocket({
    requestTicket: async () => {
      try {
        return await createTicket(resource);
      } catch (error) {
        // What is refused once is refused again; everything else is worth another try.
        const final = error instanceof ApiError && error.status < 500 && error.status !== TOO_MANY;
        if (final) on.onFailure(error);
        throw error;
      }
    },
    address: (ticket) => addressOf(resource, ticket, { tail: String(tail) }),
    onMessage: (data) => {
      const message = JSON.parse(data) as Message;
      if ("lines" in message) on.onLines(message.lines);
      else on.onEnd(message.reason);
    },
    onState: (state) => {
      if (state === "open") on.onOpen();
      if (state === "lost") on.onLost();
    },
    mayBeSilent: true,
  });
  return {
    acknowledge: (count) => socket.send(JSON.stringify({ type: "ack", count })),
    close: () => socket.close(),
  };
}
