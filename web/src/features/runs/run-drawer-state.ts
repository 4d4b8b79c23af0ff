import { create } from "zustand";

interface RunDrawer {
  open: boolean;
  // The servers that were selected when the drawer was opened.
  vpsIds: readonly string[];
}

// The state of the "Run a script" drawer. The drawer itself is loaded when it is first opened.
export const useRunDrawer = create<RunDrawer>(() => ({ open: false, vpsIds: [] }));

export function openRunDrawer(vpsIds: readonly string[]): void {
  useRunDrawer.setState({ open: true, vpsIds });
}

export function closeRunDrawer(): void {
  useRunDrawer.setState({ open: false });
}
