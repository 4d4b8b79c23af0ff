import { create } from "zustand";

interface Selection {
  selecting: boolean;
  ids: ReadonlySet<string>;
}

const NONE: Selection = { selecting: false, ids: new Set() };

// The servers selected in the fleet, to run one command on all of them.
export const useSelection = create<Selection>(() => NONE);

export function startSelecting(): void {
  useSelection.setState({ selecting: true });
}

export function stopSelecting(): void {
  useSelection.setState(NONE);
}

export function toggleSelected(id: string): void {
  useSelection.setState(({ ids }) => {
    const after = new Set(ids);
    if (!after.delete(id)) after.add(id);
    return { ids: after };
  });
}

export function selectAll(ids: Iterable<string>): void {
  useSelection.setState(({ ids: before }) => ({ ids: new Set([...before, ...ids]) }));
}
