import { useCallback, useSyncExternalStore } from "react";
import { type LiveServer, liveStore, type NetworkRate } from "@/live/store";

export function useLiveServer(id: string): LiveServer | undefined {
  const subscribe = useCallback((listener: () => void) => liveStore.subscribe(id, listener), [id]);
  return useSyncExternalStore(subscribe, () => liveStore.get(id));
}

export function useNetworkRate(): NetworkRate {
  return useSyncExternalStore(liveStore.subscribeNetworkRate, liveStore.networkRate);
}
