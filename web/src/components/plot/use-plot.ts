import { type RefObject, useEffect, useLayoutEffect, useRef, useState } from "react";
import uPlot from "uplot";
import type { Band } from "@/components/plot/plot-bands";
import { type Line, plotOptions, type Top } from "@/components/plot/plot-options";
import {
  flatColumns,
  type PlotData,
  type SpreadKind,
  spreadKinds,
  spreadPlaces,
} from "@/components/plot/spread";
import type { Format } from "@/lib/format/format";
import type { Steps } from "@/lib/format/sizes";
import { useDark } from "@/lib/theme";

// The position that was chosen with pointer or keyboard, in this chart or in another one of the page.
export interface Cursor {
  // Index of the nearest point; null if no point is near.
  index: number | null;
  time: number; // seconds since the epoch
  left: number; // px from the left edge of the chart
}

export interface Drawing {
  lines: readonly Line[];
  data: PlotData;
  hidden: ReadonlySet<number>;
  // Seconds since the epoch.
  from: number;
  to: number;
  tick: (value: number) => string;
  format: Format;
  top: Top;
  steps: Steps;
  sync: string;
  bands: readonly Band[];
  onZoom: ((from: number, to: number) => void) | undefined;
}

export const HEIGHT = 174; // px
const NEAR = 24; // px; points farther from the cursor are ignored
const AWAY = { left: -10, top: -10 };

function cursorOf(plot: uPlot): Cursor | null {
  const { idx, left = -1 } = plot.cursor;
  if (left < 0) return null;
  const edge = plot.bbox.left / devicePixelRatio;
  const time = idx == null ? undefined : plot.data[0][idx];
  const at = time === undefined ? Number.NaN : plot.valToPos(time, "x");
  return idx != null && time !== undefined && Math.abs(at - left) <= NEAR
    ? { index: idx, time, left: edge + at }
    : { index: null, time: plot.posToVal(left, "x"), left: edge + left };
}

function same(a: Cursor | null, b: Cursor | null): boolean {
  return a?.index === b?.index && a?.time === b?.time && a?.left === b?.left;
}

// Move the cursor of a chart and of those that share it. The types of uPlot leave out the last
// argument.
function place(plot: uPlot, at: { left: number; top: number }): void {
  (plot.setCursor as (at: object, fire: boolean, publish: boolean) => void)(at, true, true);
}

// Move the cursor with a finger. The browser sends mouse events for a tap, but not for a move.
function followTouch(plot: uPlot, signal: AbortSignal): void {
  const move = ({ pointerType, clientX, clientY }: PointerEvent) => {
    if (pointerType !== "touch") return;
    const { left, top } = plot.over.getBoundingClientRect();
    place(plot, { left: Math.max(0, clientX - left), top: clientY - top });
  };
  plot.over.addEventListener("pointerdown", move, { signal });
  plot.over.addEventListener("pointermove", move, { signal });
}

function toggleLines(plot: uPlot, kinds: readonly SpreadKind[], hidden: ReadonlySet<number>): void {
  const set = (at: number | null, show: boolean) => {
    if (at !== null && plot.series[at]?.show !== show) plot.setSeries(at, { show });
  };
  kinds.forEach((_, at) => {
    set(at + 1, !hidden.has(at));
  });
  for (const { line, low, high, p95 } of spreadPlaces(kinds)) {
    for (const part of [low, high, p95]) set(part, !hidden.has(line - 1));
  }
}

export interface DrawnPlot {
  box: RefObject<HTMLDivElement | null>;
  cursor: Cursor | null;
  // Move the cursor of all charts to a point of this one, or away from them.
  moveTo: (index: number | null) => void;
}

export function usePlot(drawing: Drawing): DrawnPlot {
  const { lines, data, hidden, from, to, format, top, steps, sync, bands, onZoom } = drawing;
  const dark = useDark();
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(drawing);
  latest.current = drawing;
  const [cursor, setCursor] = useState<Cursor | null>(null);
  const zoomable = onZoom !== undefined;
  const kinds = spreadKinds(data.spreads).join();
  const topKey = JSON.stringify(top);
  const linesKey = JSON.stringify(lines);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the theme changes the colours read from the page
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return undefined;
    const now = latest.current;
    const options = plotOptions(
      {
        format,
        lines: JSON.parse(linesKey) as Line[],
        kinds: kinds.split(",") as SpreadKind[],
        tick: (value) => latest.current.tick(value),
        top: JSON.parse(topKey) as Top,
        steps,
        sync,
        bands: () => latest.current.bands,
        onCursor: (drawn) =>
          setCursor((before) => {
            const after = cursorOf(drawn);
            return same(before, after) ? before : after;
          }),
        onZoom: zoomable ? (a, b) => latest.current.onZoom?.(a, b) : undefined,
      },
      element.clientWidth,
      HEIGHT,
    );
    const drawn = new uPlot(options, flatColumns(now.data) as uPlot.AlignedData, element);
    drawn.setScale("x", { min: now.from, max: now.to });
    plot.current = drawn;
    const listening = new AbortController();
    followTouch(drawn, listening.signal);
    const observer = new ResizeObserver(() =>
      drawn.setSize({ width: element.clientWidth, height: HEIGHT }),
    );
    observer.observe(element);
    return () => {
      listening.abort();
      observer.disconnect();
      drawn.destroy();
      plot.current = null;
      setCursor(null);
    };
  }, [format, linesKey, kinds, topKey, steps, sync, zoomable, dark]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: bands are read while drawing, and a new plot shows all lines
  useEffect(() => {
    const drawn = plot.current;
    if (!drawn) return;
    drawn.batch(() => {
      drawn.setData(flatColumns(data) as uPlot.AlignedData, false);
      toggleLines(drawn, spreadKinds(data.spreads), hidden);
      drawn.setScale("x", { min: from, max: to });
    });
    setCursor(cursorOf(drawn));
  }, [data, hidden, from, to, bands, linesKey, topKey, dark, format]);

  const moveTo = (index: number | null) => {
    const drawn = plot.current;
    const time = index === null ? undefined : drawn?.data[0][index];
    if (drawn)
      place(drawn, time === undefined ? AWAY : { left: drawn.valToPos(time, "x"), top: 0 });
  };
  return { box, cursor, moveTo };
}
