import type uPlot from "uplot";

// A hatched time range on a chart, in seconds since the epoch.
export interface Band {
  from: number;
  to: number;
}

const HATCH = 6; // px between two strokes
const NARROWEST = 3; // px

function hatch(context: CanvasRenderingContext2D, color: string): CanvasPattern | null {
  const size = HATCH * devicePixelRatio;
  const tile = document.createElement("canvas");
  tile.width = size;
  tile.height = size;
  const stroke = tile.getContext("2d");
  if (!stroke) return null;
  stroke.strokeStyle = color;
  stroke.lineWidth = devicePixelRatio;
  // Three strokes, so that the corners of the tile are filled too.
  for (const shift of [-size, 0, size]) {
    stroke.moveTo(shift, size);
    stroke.lineTo(shift + size, 0);
  }
  stroke.stroke();
  return context.createPattern(tile, "repeat");
}

// Draws hatched bands above the grid and below the lines.
export function drawBands(plot: uPlot, bands: readonly Band[], color: string): void {
  const { min, max } = plot.scales["x"] ?? {};
  if (min == null || max == null) return;
  const seen = bands.filter(({ from, to }) => to >= min && from <= max);
  const pattern = seen.length > 0 && hatch(plot.ctx, color);
  if (!pattern) return;
  const { left, top, width, height } = plot.bbox;
  const at = (time: number) => left + (width * (time - min)) / (max - min);
  plot.ctx.save();
  plot.ctx.beginPath();
  plot.ctx.rect(left, top, width, height);
  plot.ctx.clip();
  plot.ctx.fillStyle = pattern;
  for (const { from, to } of seen) {
    const wide = Math.max(at(to) - at(from), NARROWEST * devicePixelRatio);
    plot.ctx.fillRect(at(from), top, wide, height);
  }
  plot.ctx.restore();
}
