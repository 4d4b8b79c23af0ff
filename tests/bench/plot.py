"""A chart as SVG that is readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 60, 150, 40, 50
# Colours that people with colour blindness can distinguish (Okabe and Ito).
COLOURS = (
    *("#999999", "#0072b2", "#e69f00", "#cc79a7"),
    *("#009e73", "#d55e00", "#56b4e9", "#f0e442"),
)
GREY = "#808080"
LINES = 5


def stacked_bars(
    *, title: str, groups: Sequence[str], series: Mapping[str, Sequence[float]]
) -> str:
    """Return a chart with a bar per group. A bar has one part per series; at most eight series."""
    colours = dict(zip(series, COLOURS[: len(series)], strict=True))
    most = _round_up(max((sum(parts) for parts in zip(*series.values(), strict=True)), default=0))
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    step = wide / max(len(groups), 1)
    parts = [_text(LEFT, 20, title, size=14)]
    for line in range(LINES + 1):
        y = TOP + high - high * line / LINES
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + wide}" y2="{y:.1f}"'
            f' stroke="{GREY}" stroke-opacity="0.35"/>'
        )
        parts.append(_text(LEFT - 8, y + 4, f"{most * line / LINES:g}", anchor="end"))
    for place, group in enumerate(groups):
        bottom = float(TOP + high)
        left = LEFT + step * (place + 0.2)
        for name, values in series.items():
            tall = high * values[place] / most
            bottom -= tall
            parts.append(
                f'<rect x="{left:.1f}" y="{bottom:.1f}" width="{step * 0.6:.1f}"'
                f' height="{tall:.1f}" fill="{colours[name]}"/>'
            )
        parts.append(_text(left + step * 0.3, TOP + high + 20, group, anchor="middle"))
    for place, (name, colour) in enumerate(colours.items()):
        y = TOP + 20 * place
        x = LEFT + wide + 16
        parts.append(f'<rect x="{x}" y="{y}" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(x + 20, y + 11, name))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(title)}" font-family="sans-serif">\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, words: str, *, size: int = 12, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"'
        f' fill="{GREY}">{escape(words)}</text>'
    )


def _round_up(value: float) -> float:
    """Round up to a value that five lines divide into round numbers."""
    scale = 1e-6
    while scale * 10 <= value:
        scale *= 10
    for step in (1, 2, 2.5, 5, 10):
        if step * scale >= value:
            return step * scale
    return 10 * scale
