import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { type Gap, gapsQuery } from "@/api/vps";
import type { Band } from "@/components/plot/plot-bands";
import { gapBands } from "@/features/metrics/data-gaps";

interface Gaps {
  gaps: readonly Gap[];
  bands: readonly Band[];
}

const NONE: readonly Gap[] = [];

// Seconds since the epoch.
export function useDataGaps(id: string, from: number, to: number): Gaps {
  const { data } = useQuery(
    gapsQuery(id, {
      start: new Date(from * 1000).toISOString(),
      end: new Date(to * 1000).toISOString(),
    }),
  );
  const gaps = data?.items ?? NONE;
  return useMemo(() => ({ gaps, bands: gapBands(gaps) }), [gaps]);
}
