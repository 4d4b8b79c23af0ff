import type { ContainerLogLine } from "@/api/docker";
import { ApiError, isTemporary } from "@/api/problem";
import { LiveSocket } from "@/live/socket";
import { addressOf, createTicket, type LiveResource } from "@/live/tickets";

export interface FollowHandlers {
  onOpen: () => void;
  onLost: () => void;
  onLines: (lines: readonly ContainerLogLine[]) => void;
  onEnd: (reason: string) => void;
  onFailure: (error: unknown) => void;
}

type Message = { lines: ContainerLogLine[] } | { event: "end"; reason: string };

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
        // A permanent refusal ends the attempts.
        if (error instanceof ApiError && !isTemporary(error)) on.onFailure(error);
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
