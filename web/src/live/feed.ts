import type { QueryClient } from "@tanstack/react-query";
import { reloadAccount } from "@/api/session";
import { fleetQuery, patchVps, type Sample, type VpsStatus, vpsKeys } from "@/api/vps";
import { useConnection } from "@/live/connection";
import { LiveSocket } from "@/live/socket";
import { liveStore } from "@/live/store";
import { addressOf, createTicket, type LiveResource } from "@/live/tickets";

type LiveEvent =
  | ({ event: "sample" } & Sample)
  | {
      event: "status";
      time: string;
      vps_id: string;
      status: VpsStatus;
      last_seen: string | null;
    };

const REFETCH_PAUSE = 1_000; // ms
const RATE_INTERVAL = 1_000; // ms

// Feeds the console: samples go to the live store, states to the query cache.
export function startFleetFeed(client: QueryClient): () => void {
  let refetch: ReturnType<typeof setTimeout> | undefined;
  let wasLost = false;

  const refetchSoon = () => {
    refetch ??= setTimeout(() => {
      refetch = undefined;
      void client.invalidateQueries({ queryKey: vpsKeys.list() });
    }, REFETCH_PAUSE);
  };

  const receive = (event: LiveEvent) => {
    if (event.event === "sample") {
      liveStore.add(event);
      return;
    }
    const fleet = client.getQueryData(fleetQuery().queryKey);
    const known = fleet?.find((vps) => vps.id === event.vps_id);
    patchVps(client, event.vps_id, { status: event.status, last_seen: event.last_seen });
    // The facts of a new server, or of one that has just connected, need a request.
    const isNews = !known || (known.status !== event.status && event.status === "online");
    if (isNews) void client.invalidateQueries({ queryKey: vpsKeys.detail(event.vps_id) });
    if (fleet && isNews) refetchSoon();
  };

  // The gateway also closes the socket when the roles of the user change.
  const catchUp = () => {
    reloadAccount().catch(() => undefined);
    void client.invalidateQueries();
  };

  const socket = new LiveSocket({
    requestTicket: () => createTicket("fleet/realtime"),
    address: (ticket) => addressOf("fleet/realtime", ticket),
    onMessage: (data) => receive(JSON.parse(data) as LiveEvent),
    onState: (state, retryAt) => {
      useConnection.setState({ state, retryAt });
      if (state === "open" && wasLost) catchUp();
      wasLost = state === "lost" || (wasLost && state !== "open");
    },
  });
  useConnection.setState({ retryNow: socket.retryNow });

  const networkRate = setInterval(() => {
    const fleet = client.getQueryData(fleetQuery().queryKey) ?? [];
    liveStore.sumNetworkRate(fleet.filter((vps) => vps.status === "online").map((vps) => vps.id));
  }, RATE_INTERVAL);

  return () => {
    socket.close();
    clearInterval(networkRate);
    clearTimeout(refetch);
    liveStore.clear();
    useConnection.setState({ state: "connecting", retryAt: null });
  };
}

// Adds the samples of one server, with their details, to the live store while its page is open.
export function openServerFeed(id: string, onOpen: () => void): () => void {
  const resource: LiveResource = `vps/${id}/metrics/realtime`;
  liveStore.openWindow(id);
  const socket = new LiveSocket({
    requestTicket: () => createTicket(resource),
    address: (ticket) => addressOf(resource, ticket),
    onMessage: (data) => {
      const event = JSON.parse(data) as LiveEvent;
      if (event.event === "sample") liveStore.add(event);
    },
    // The connection banner follows the fleet's socket, so this one reconnects silently.
    onState: (state) => {
      if (state !== "open") return;
      liveStore.openWindow(id);
      onOpen();
    },
  });
  return () => {
    socket.close();
    liveStore.closeWindow(id);
  };
}
