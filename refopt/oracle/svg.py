"""Line charts as SVG text, small enough for a cell of a table."""

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

WIDTH, HEIGHT, LEFT, RIGHT, BELOW, ABOVE = 410, 220, 46, 120, 34, 20
COLOURS = ("#2a6fb0", "#c2571a", "#2a7d46")


class Line(NamedTuple):
    name: str  #: written at its end; none where it is empty
    x: Sequence[float] | Any
    y: Sequence[float] | Any
    dots: bool = False
    faint: bool = False


def chart(across: str, up: str, *lines: Line) -> str:
    """The lines in a frame with the ends of both axes marked."""
    xs, ys = ([float(value) for line in lines for value in getattr(line, axis)] for axis in "xy")
    span = [(min(values), (max(values) - min(values)) or 1.0) for values in (xs, ys)]

    def at(x: float, y: float) -> tuple[float, float]:
        (x0, dx), (y0, dy) = span
        across = LEFT + (float(x) - x0) / dx * (WIDTH - LEFT - RIGHT)
        return across, ABOVE + (1 - (float(y) - y0) / dy) * (HEIGHT - BELOW - ABOVE)

    (left, bottom), (right, top) = at(span[0][0], span[1][0]), at(sum(span[0]), sum(span[1]))
    parts = [
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" '
        'fill="none" stroke="#8886"/>',
        text(left, bottom + 14, f"{span[0][0]:.3g}", "start"),
        text(right, bottom + 14, f"{sum(span[0]):.3g}", "end"),
        text((left + right) / 2, bottom + 26, across, "middle"),
        text(left - 5, bottom, f"{span[1][0]:.2g}", "end"),
        text(left - 5, top + 9, f"{sum(span[1]):.2g}", "end"),
        text(left, top - 6, up, "start"),
    ]
    bright = 0
    taken: list[float] = []
    for line in lines:
        colour = "#8888" if line.faint else COLOURS[bright % len(COLOURS)]
        bright += not line.faint
        points = [at(x, y) for x, y in zip(line.x, line.y, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        if line.dots:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in points]
        if line.name:
            height = points[-1][1] + 4
            while any(abs(height - other) < 12 for other in taken):
                height += 3
            taken.append(height)
            parts.append(text(right + 5, height, line.name, "start", colour))
    names = ", ".join(line.name for line in lines if line.name)
    frame = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    return f'<svg {frame} role="img" aria-label="{escape(names)}">{"".join(parts)}</svg>'


def text(x: float, y: float, content: str, anchor: str, colour: str = "currentColor") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" fill="{colour}">{escape(content)}</text>'
    )
