"""Trials by size and accuracy, as an SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 380, 70, 20, 45, 70
COLOURS = ("#868e96", "#e8590c", "#1098ad")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One trial.

    Args:
        x: logarithm to base 10 of its parameters.
        y: its validation accuracy.
        kind: what it is, for the legend.
        chosen: it is drawn larger, and above the others.
    """

    x: float
    y: float
    kind: str
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class _Frame:
    """Ends of both axes; what lies below is drawn on the lower edge."""

    first: int
    last: int
    low: float

    def place(self, x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)
        down = TOP + (1 - max(y, self.low)) / (1 - self.low) * (HEIGHT - TOP - BOTTOM)
        return round(across, 1), round(down, 1)


def scatter(points: Sequence[Point], *, low: float) -> str:
    """The picture.

    Args:
        points: at least one.
        low: accuracy at the lower edge.
    """
    kinds = tuple(dict.fromkeys(point.kind for point in points))
    frame = _Frame(
        first=min(int(point.x) for point in points),
        last=max(int(point.x) + 1 for point in points),
        low=low,
    )
    dots = []
    for point in sorted(points, key=lambda one: one.chosen):
        across, down = frame.place(point.x, point.y)
        dots.append(_dot(across, down, COLOURS[kinds.index(point.kind)], point.chosen))
    body = "\n".join([*_axes(frame), *dots, *_legend(kinds)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="13" fill="#343a40">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n{body}\n</svg>\n'
    )


def _axes(frame: _Frame) -> Iterator[str]:
    for decade in range(frame.first, frame.last + 1):
        across, down = frame.place(decade, frame.low)
        yield _line(across, TOP, across, down)
        yield _text(across, down + 20, f"{10**decade:,}")
    for step in range(6):
        share = frame.low + (1 - frame.low) * step / 5
        across, down = frame.place(frame.first, share)
        yield _line(across, down, WIDTH - RIGHT, down)
        yield _text(across - 28, down + 4, f"{share:.0%}")
    yield _text(WIDTH / 2, HEIGHT - 32, "parameters · validation accuracy up")


def _legend(kinds: Sequence[str]) -> Iterator[str]:
    for number, (kind, colour) in enumerate(zip(kinds, COLOURS, strict=True)):
        across = LEFT + 30 + number * 190
        yield _dot(across, HEIGHT - 14, colour, number > 0)
        yield _text(across + 80, HEIGHT - 10, kind)


def _dot(across: float, down: float, colour: str, chosen: bool) -> str:
    size = 8 if chosen else 4.5
    return f'<circle cx="{across}" cy="{down}" r="{size}" fill="{colour}" opacity="0.85"/>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#dee2e6"/>'


def _text(across: float, down: float, words: str) -> str:
    return f'<text x="{across}" y="{down}" text-anchor="middle">{words}</text>'
