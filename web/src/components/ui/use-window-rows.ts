import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type RefObject, useLayoutEffect, useState } from "react";

interface Options {
  table: RefObject<HTMLElement | null>;
  count: number;
  rowHeight: number; // px
  overscan: number;
  // Changes when content above the table may have moved it.
  layoutKey?: unknown;
}

export interface WindowRows {
  // Indexes of the rows to mount.
  indexes: readonly number[];
  // Heights of the spacers that replace the rows that are not mounted, px.
  before: number;
  after: number;
  scrollTo: (index: number) => void;
}

// The rows of a long table that are near the visible part of the page.
export function useWindowRows(options: Options): WindowRows {
  const { table, count, rowHeight, overscan, layoutKey } = options;
  const [top, setTop] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the key stands for what is above the table
  useLayoutEffect(() => {
    setTop((table.current?.getBoundingClientRect().top ?? 0) + window.scrollY);
  }, [table, layoutKey]);
  const rows = useWindowVirtualizer({
    count,
    estimateSize: () => rowHeight,
    overscan,
    scrollMargin: top,
  });
  const items = rows.getVirtualItems();
  return {
    indexes: items.map(({ index }) => index),
    before: (items[0]?.start ?? top) - top,
    after: rows.getTotalSize() - ((items.at(-1)?.end ?? top) - top),
    scrollTo: (index) => rows.scrollToIndex(index, { align: "auto" }),
  };
}
