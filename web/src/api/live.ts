import type { QueryClient } from "@tanstack/react-query";
import { addressOf, createTicket, type LiveResource } from "@/api/tickets";
import { fleetQuery, patchVps, type Sample, type VpsStatus, vpsKeys } from "@/api/vps";
import { useConnection } from "@/lib/connection";
import { LiveSocket } from "@/lib/live-socket";
import { liveStore } from "@/lib/live-store";

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
const TRAFFIC_INTERVAL = 1_000; // ms

// Feeds the whole console: samples to the live store, states to the query cache.
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
    // A server unknown until now, or seen for the first time, has facts that only a request brings.
    const isNews = !known || (known.status !== event.status && event.status === "online");
    if (isNews) void client.invalidateQueries({ queryKey: vpsKeys.detail(event.vps_id) });
    if (fleet && isNews) refetchSoon();
  };

  const socket = new LiveSocket({
    requestTicket: () => createTicket("fleet/realtime"),
    address: (ticket) => addressOf("fleet/realtime", ticket),
    onMessage: (data) => receive(JSON.parse(data) as LiveEvent),
    onState: (state, retryAt) => {
      useConnection.setState({ state, retryAt });
      if (state === "open" && wasLost) void client.invalidateQueries();
      wasLost = state === "lost" || (wasLost && state !== "open");
    },
  });
  useConnection.setState({ retryNow: socket.retryNow });

  const traffic = setInterval(() => {
    const fleet = client.getQueryData(fleetQuery().queryKey) ?? [];
    liveStore.sumTraffic(fleet.filter((vps) => vps.status === "online").map((vps) => vps.id));
  }, TRAFFIC_INTERVAL);

  return () => {
    socket.close();
    clearInterval(traffic);
    clearTimeout(refetch);
    liveStore.clear();
    useConnection.setState({ state: "connecting", retryAt: null });
  };
}

export function openServerFeed(
  id: string,
  onSample: (sample: Sample) => void,
  onOpen: () => void,
): () => void {
  const resource: LiveResource = `vps/${id}/metrics/realtime`;
  const socket = new LiveSocket({
    requestTicket: () => createTicket(resource),
    address: (ticket) => addressOf(resource, ticket),
    onMessage: (data) => {
      const event = JSON.parse(data) as LiveEvent;
      if (event.event === "sample") onSample(event);
    },
    // The banner speaks for the fleet's socket; this one follows it silently.
    onState: (state) => {
      if (state === "open") onOpen();
    },
  });
  return () => socket.close();
}
