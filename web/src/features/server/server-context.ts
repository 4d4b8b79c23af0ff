import { useOutletContext } from "react-router";
import type { Vps } from "@/api/vps";

export interface ServerContext {
  vps: Vps;
  // The place beside the tabs where a tab may render its controls.
  tools: HTMLElement | null;
}

// The server whose page is open. Only the tabs of that page may call this.
export function useServerContext(): ServerContext {
  return useOutletContext<ServerContext>();
}
