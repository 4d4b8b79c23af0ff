import { useCallback, useSyncExternalStore } from "react";
import { type LiveServer, liveStore, type Traffic } from "@/lib/live-store";

export function useLiveServer(id: string): LiveServer | undefined {
  const subscribe = useCallback((listener: () => void) => liveStore.subscribe(id, listener), [id]);
  return useSyncExternalStore(subscribe, () => liveStore.get(id));
}

export function useTraffic(): Traffic {
  return useSyncExternalStore(liveStore.subscribeTraffic, liveStore.traffic);
}
