import { queryOptions } from "@tanstack/react-query";
import { fetchTraffic, trafficKeys } from "@/api/traffic";
import { fetchHistory, type Vps, vpsKeys } from "@/api/vps";
import { MINUTE } from "@/lib/format";
import { liveStore, TRAIL_LENGTH } from "@/lib/live-store";
import { slots } from "@/lib/slots";

// Each card on the screen asks for itself, so there must be few of them.
export const MOST_CARDS = 50;
const AT_A_TIME = 6; // requests
const LONGEST = 5 * MINUTE; // seconds
const DEFAULT_INTERVAL = 2; // seconds
const TRAFFIC_EVERY = 5 * MINUTE * 1000; // ms

const inTurn = slots(AT_A_TIME);

// Fills the sparkline from history, once.
export const trailQuery = ({ id, agent_config }: Vps) =>
  queryOptions({
    queryKey: [...vpsKeys.history(id), "trail"],
    queryFn: ({ signal }) =>
      inTurn(async () => {
        const interval = agent_config.report_interval_seconds ?? DEFAULT_INTERVAL;
        const now = Date.now();
        const start = now - Math.min(LONGEST, TRAIL_LENGTH * interval) * 1000;
        const range = { start: new Date(start).toISOString(), end: new Date(now).toISOString() };
        const { time, cpu_usage } = await fetchHistory(id, range, signal);
        liveStore.seed(id, time, cpu_usage);
        return time.length;
      }),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: Number.POSITIVE_INFINITY,
  });

export const cardTrafficQuery = (id: string) =>
  queryOptions({
    queryKey: [...trafficKeys.of(id), 1],
    queryFn: ({ signal }) => inTurn(() => fetchTraffic(id, 1, signal)),
    staleTime: TRAFFIC_EVERY,
    refetchInterval: TRAFFIC_EVERY,
  });
