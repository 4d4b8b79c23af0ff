import { create } from "zustand";

interface RunDrawer {
  open: boolean;
  // The servers chosen where it was opened from.
  vpsIds: readonly string[];
}

// "Run a command" is opened from many places, and loaded when it first is.
export const useRunDrawer = create<RunDrawer>(() => ({ open: false, vpsIds: [] }));

export function openRunDrawer(vpsIds: readonly string[]): void {
  useRunDrawer.setState({ open: true, vpsIds });
}

export function closeRunDrawer(): void {
  useRunDrawer.setState({ open: false });
}
