import { useEffect, useMemo, useSyncExternalStore } from "react";
import { fetchContainerLogs } from "@/api/docker";
import { followContainerLog } from "@/features/docker/logs/follow-container-log";
import { LogFeed, type LogView } from "@/features/docker/logs/log-feed";
import { DAY, HOUR, MINUTE } from "@/lib/format/durations";

export const SINCE = {
  tail: null,
  "15m": 15 * MINUTE,
  "1h": HOUR,
  "6h": 6 * HOUR,
  "24h": DAY,
};
export type Since = keyof typeof SINCE;

const TAIL = 500; // lines
const MAX_PAST = 10_000; // lines of one answer

export function useLogFeed(server: string, cid: string, since: Since): [LogView, LogFeed] {
  const feed = useMemo(() => {
    const seconds = SINCE[since];
    return new LogFeed({
      past: async () => {
        if (seconds === null) return { lines: [], truncated: false };
        const start = new Date(Date.now() - seconds * 1000).toISOString();
        return fetchContainerLogs(server, cid, { tail: MAX_PAST, since: start });
      },
      follow: (handlers) => followContainerLog(server, cid, TAIL, handlers),
    });
  }, [server, cid, since]);
  useEffect(() => {
    void feed.start();
    return () => feed.stop();
  }, [feed]);
  return [useSyncExternalStore(feed.subscribe, feed.view), feed];
}
