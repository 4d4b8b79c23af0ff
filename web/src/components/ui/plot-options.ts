import type uPlot from "uplot";
import { type Band, drawBands } from "@/components/ui/plot-bands";
import { DAY } from "@/lib/format";

export interface Line {
  label: string;
  color: "accent" | "warn" | "ok" | "violet" | "bad" | "faint";
  // One for each point.
  dots?: boolean;
}

export interface PlotLook {
  language: string;
  lines: readonly Line[];
  format: (value: number) => string;
  // The least the top of the scale may be; a fixed top where the whole is known.
  top: { atLeast: number } | { exactly: number };
  // The numbers people count in, where they are not powers of ten.
  steps: "binary" | "bits" | undefined;
  sync: string;
  bands: () => readonly Band[];
  onCursor: (index: number | null) => void;
  onZoom: ((from: number, to: number) => void) | undefined;
}

const AXIS_FONT = "11px 'Inter Variable', system-ui, sans-serif";
const GUTTER = 62; // px, for the longest figure, the same in every plot so that their times line up
const GUTTER_GAP = 8; // px between figure and plot
const STEPS = {
  binary: Array.from({ length: 50 }, (_, power) => 2 ** power),
  bits: Array.from({ length: 15 }, (_, power) =>
    [1, 2, 5].map((n) => (n * 10 ** power) / 8),
  ).flat(),
};
const ROOM = 1.15;
const LARGEST = Number.MAX_VALUE / 4; // so that the whole scale is a number as well
const LABEL_SPACE = 68; // px between two times

function token(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function timeLabels(language: string) {
  const clock = new Intl.DateTimeFormat(language, {
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  const second = new Intl.DateTimeFormat(language, {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hourCycle: "h23",
  });
  const date = new Intl.DateTimeFormat(language, { day: "numeric", month: "short" });
  return (_: uPlot, splits: number[], _axis: number, _space: number, step: number): string[] => {
    return splits.map((split) => {
      const at = new Date(split * 1000);
      if (step >= DAY || (at.getHours() === 0 && at.getMinutes() === 0 && step >= 60)) {
        return date.format(at);
      }
      return (step < 60 ? second : clock).format(at);
    });
  };
}

// Wider than the rest only where a figure would be cut, as with another font.
function gutter(plot: uPlot, texts: string[] | null, axis: number): number {
  plot.ctx.font = String(plot.axes[axis]?.font?.[0] ?? AXIS_FONT);
  const widths = (texts ?? []).map((text) => plot.ctx.measureText(text).width / devicePixelRatio);
  return Math.max(GUTTER, Math.ceil(Math.max(0, ...widths)) + GUTTER_GAP + 1);
}

// With zero in it, and some room beyond the values.
export function scaleOf(
  min: number | null,
  max: number | null,
  top: PlotLook["top"],
): [number, number] {
  if ("exactly" in top) return [0, top.exactly];
  const low = within(Math.min(0, (min ?? 0) * ROOM));
  const high = within(Math.max(top.atLeast, (max ?? 0) * ROOM));
  return low === high ? [low, low + 1] : [low, high];
}

function within(value: number): number {
  return Math.max(-LARGEST, Math.min(value, LARGEST));
}

export function plotOptions(look: PlotLook, width: number, height: number): uPlot.Options {
  const line = token("line");
  const faint = token("faint");
  const { top } = look;
  return {
    width,
    height,
    padding: [8, 1, 0, 0],
    legend: { show: false },
    cursor: {
      sync: { key: look.sync, setSeries: false },
      drag: { x: true, y: false, setScale: false },
      points: { size: 6, width: 1.5 },
      y: false,
    },
    scales: {
      x: { time: true, auto: false },
      y: {
        range: (_plot, min, max) => scaleOf(min, max, top),
      },
    },
    axes: [
      {
        stroke: faint,
        font: AXIS_FONT,
        size: 24,
        gap: 6,
        space: LABEL_SPACE,
        grid: { show: false },
        ticks: { show: false },
        values: timeLabels(look.language),
      },
      {
        stroke: faint,
        font: AXIS_FONT,
        size: gutter,
        gap: GUTTER_GAP,
        space: 30,
        ...(look.steps && { incrs: STEPS[look.steps] }),
        grid: { stroke: line, width: 1 },
        ticks: { show: false },
        values: (_plot, splits) => splits.map((split) => (split === 0 ? "0" : look.format(split))),
      },
    ],
    series: [
      {},
      ...look.lines.map(({ label, color, dots = false }) => ({
        label,
        stroke: token(color),
        // 8 % of the line's colour; canvas takes no CSS functions everywhere.
        fill: `${token(color)}14`,
        width: 1.5,
        points: { show: dots, size: 4 },
        spanGaps: false,
      })),
    ],
    hooks: {
      drawAxes: [(plot) => drawBands(plot, look.bands(), `${token("edge")}80`)],
      setCursor: [(plot) => look.onCursor(plot.cursor.idx ?? null)],
      setSelect: [
        (plot) => {
          const { left, width: wide } = plot.select;
          if (wide < 6 || !look.onZoom) return;
          look.onZoom(plot.posToVal(left, "x"), plot.posToVal(left + wide, "x"));
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  };
}
