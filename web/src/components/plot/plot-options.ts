import type uPlot from "uplot";
import { type Band, drawBands } from "@/components/plot/plot-bands";
import { type SpreadKind, spreadPlaces } from "@/components/plot/spread";
import { loneIndices, type Point } from "@/lib/columns";
import type { Format } from "@/lib/format/format";
import type { Steps } from "@/lib/format/sizes";
import { localDate } from "@/lib/format/zones";

export interface Line {
  label: string;
  color: "accent" | "warn" | "ok" | "violet" | "bad" | "faint";
  // Draws a dot at each point.
  dots?: boolean;
}

// The lowest top of the scale, or a fixed top where the maximum is known.
export type Top = { atLeast: number } | { exactly: number };

export interface PlotLook {
  format: Format;
  lines: readonly Line[];
  kinds: readonly SpreadKind[];
  tick: (value: number) => string;
  top: Top;
  steps: Steps;
  sync: string;
  bands: () => readonly Band[];
  onCursor: (plot: uPlot) => void;
  onZoom: ((from: number, to: number) => void) | undefined;
}

const AXIS_FONT = "11px 'Inter Variable', system-ui, sans-serif";
const GUTTER = 62; // px; fits the longest figure and is the same in every plot, so that their times line up
const GUTTER_GAP = 8; // px between figure and plot
const EDGE = 16; // px; half of a time label fits beside the right end of the plot
const STEPS = {
  binary: Array.from({ length: 50 }, (_, power) => 2 ** power),
  bits: Array.from({ length: 15 }, (_, power) =>
    [1, 2, 5].map((n) => (n * 10 ** power) / 8),
  ).flat(),
};
const ROOM = 1.15;
const LARGEST = Number.MAX_VALUE / 4; // so that the scale itself is still a finite number
// px between two time labels
const LABEL_SPACE = 68;
const WIDE_LABEL_SPACE = 92; // with AM or PM
const BRUSH = 6; // px; a shorter drag is a click
// Opacities as hex suffixes of a colour: not every canvas accepts CSS colour functions.
const AREA = "14"; // 8 %
const SPREAD = "4d"; // 30 %
const CLEAR = "00";

function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function timeLabels(format: Format) {
  return (plot: uPlot, splits: number[], axis: number, _space: number, step: number): string[] => {
    return splits.map((split) => {
      const text = format.axisLabel(split, step);
      const room = plot.over.clientWidth + EDGE - plot.valToPos(split, "x");
      return widthOf(plot, text, axis) / 2 > room ? "" : text;
    });
  };
}

function widthOf(plot: uPlot, text: string, axis: number): number {
  plot.ctx.font = String(plot.axes[axis]?.font?.[0] ?? AXIS_FONT);
  return plot.ctx.measureText(text).width / devicePixelRatio;
}

// Makes the axis wider only if a figure would be cut, for example with another font.
function gutter(plot: uPlot, texts: string[] | null, axis: number): number {
  const widths = (texts ?? []).map((text) => widthOf(plot, text, axis));
  return Math.max(GUTTER, Math.ceil(Math.max(0, ...widths)) + GUTTER_GAP + 1);
}

// Returns a scale that includes zero and leaves some room beyond the values.
export function scaleOf(min: number | null, max: number | null, top: Top): [number, number] {
  if ("exactly" in top) return [0, top.exactly];
  const low = within(Math.min(0, (min ?? 0) * ROOM));
  const high = within(Math.max(top.atLeast, (max ?? 0) * ROOM));
  return low === high ? [low, low + 1] : [low, high];
}

function within(value: number): number {
  return Math.max(-LARGEST, Math.min(value, LARGEST));
}

function axes(look: PlotLook): uPlot.Axis[] {
  const shared = { stroke: token("faint"), font: AXIS_FONT, ticks: { show: false } };
  return [
    {
      ...shared,
      size: 24,
      gap: 6,
      space: look.format.preferences.clock === "12h" ? WIDE_LABEL_SPACE : LABEL_SPACE,
      grid: { show: false },
      values: timeLabels(look.format),
    },
    {
      ...shared,
      size: gutter,
      gap: GUTTER_GAP,
      space: 30,
      ...(look.steps && { incrs: STEPS[look.steps] }),
      grid: { stroke: token("line"), width: 1 },
      values: (_plot, splits) => splits.map((split) => (split === 0 ? "0" : look.tick(split))),
    },
  ];
}

// The lines, and after them the ends and the 95th percentiles of their spreads.
function series({ lines, kinds }: PlotLook): uPlot.Series[] {
  const drawn: uPlot.Series[] = lines.map(({ label, color, dots = false }) => ({
    label,
    stroke: token(color),
    fill: `${token(color)}${AREA}`,
    width: 1.5,
    points: {
      show: dots,
      size: dots ? 4 : 5,
      fill: token(color),
      // A point without neighbours draws no line.
      filter: (plot, line, all) =>
        all ? null : loneIndices((plot.data[line] ?? []) as readonly Point[]),
    },
    spanGaps: false,
  }));
  for (const { line, p95 } of spreadPlaces(kinds)) {
    const color = token(lines[line - 1]?.color ?? "faint");
    const end = { stroke: `${color}${CLEAR}`, width: 0, points: { show: false } };
    drawn.push(end, end);
    if (p95 !== null)
      drawn.push({ stroke: color, width: 1, dash: [2, 3], points: { show: false } });
  }
  return [{}, ...drawn];
}

export function plotOptions(look: PlotLook, width: number, height: number): uPlot.Options {
  const { lines, kinds, top } = look;
  const { timeZone } = look.format.preferences;
  return {
    width,
    height,
    padding: [8, EDGE, 0, 0],
    legend: { show: false },
    // Puts the labels at full hours and days of the user's time zone.
    tzDate: (seconds) => localDate(seconds * 1000, timeZone),
    cursor: {
      sync: { key: look.sync, setSeries: false },
      drag: { x: true, y: false, setScale: false },
      points: {
        size: (_plot, at) => (at <= lines.length ? 6 : 0),
        width: 1.5,
      },
      y: false,
    },
    scales: {
      x: { time: true, auto: false },
      y: { range: (_plot, min, max) => scaleOf(min, max, top) },
    },
    axes: axes(look),
    series: series(look),
    bands: spreadPlaces(kinds).map(({ line, low, high }) => ({
      series: [high, low],
      fill: `${token(lines[line - 1]?.color ?? "faint")}${SPREAD}`,
    })),
    hooks: {
      drawAxes: [(plot) => drawBands(plot, look.bands(), `${token("edge")}80`)],
      setCursor: [look.onCursor],
      setSelect: [
        (plot) => {
          const { left, width: wide } = plot.select;
          if (wide < BRUSH || !look.onZoom) return;
          look.onZoom(plot.posToVal(left, "x"), plot.posToVal(left + wide, "x"));
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
}
