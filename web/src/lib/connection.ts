import { create } from "zustand";
import type { LiveState } from "@/lib/live-socket";

interface Connection {
  state: LiveState;
  retryAt: number | null; // ms since the epoch
  retryNow: () => void;
}

// What the fleet's live socket knows of the way to the gateway.
export const useConnection = create<Connection>(() => ({
  state: "connecting",
  retryAt: null,
  retryNow: () => undefined,
}));
