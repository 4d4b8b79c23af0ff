import { create } from "zustand";
import type { LiveState } from "@/live/socket";

interface Connection {
  state: LiveState;
  retryAt: number | null; // ms since the epoch
  retryNow: () => void;
}

// The state of the connection to the gateway, as the fleet's live socket sees it.
export const useConnection = create<Connection>(() => ({
  state: "connecting",
  retryAt: null,
  retryNow: () => undefined,
}));
