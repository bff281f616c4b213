"""The geometry of line charts and histograms; `chart.html.j2` draws it as inline SVG.

Coordinates are those of the drawing (0, 0 is its upper left corner), rounded to a tenth: a report with thousands of
log lines stays small. Colours and fonts are the page's business.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LINE_WIDTH, LINE_HEIGHT = 520, 230
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 980, 190
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 34
MAX_POINTS = 400
"""Points of one line; more log lines than that are averaged in groups."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One line: `style` names its CSS class; `dots` marks every point (for few ones)."""

    name: str
    style: str
    points: Sequence[Point]
    dots: bool = False


@dataclass(frozen=True)
class Level:
    """A horizontal line to compare with."""

    name: str
    value: float


@dataclass(frozen=True)
class Marker:
    """A vertical line: something that happened at a step."""

    name: str
    x: float


@dataclass(frozen=True)
class Label:
    """A place in the drawing and the words that belong there; `row` keeps close neighbours apart."""

    position: float
    text: str
    row: int = 0


@dataclass(frozen=True)
class Line:
    """A drawn series: the path, its dots, and the values for whoever points at it."""

    name: str
    style: str
    path: str
    dots: list[Point]
    values: list[tuple[float, str, str]]
    """For whoever points at the chart: x in the drawing, then step and value as words."""


@dataclass(frozen=True)
class Chart:
    title: str
    note: str
    x_ticks: list[Label]
    y_ticks: list[Label]
    markers: list[Label]
    levels: list[Label]
    lines: list[Line]
    width: int = LINE_WIDTH
    height: int = LINE_HEIGHT
    left: int = LEFT
    right: int = LINE_WIDTH - RIGHT
    top: int = TOP
    bottom: int = LINE_HEIGHT - BOTTOM

    @property
    def values(self) -> list[dict[str, object]]:
        return [{"name": line.name, "values": line.values} for line in self.lines]


@dataclass(frozen=True)
class Bar:
    x: float
    width: float
    parts: list[tuple[str, float, float]]
    """(CSS class, y, height) from the bottom up."""
    words: str


@dataclass(frozen=True)
class Histogram:
    bars: list[Bar]
    x_ticks: list[Label]
    y_ticks: list[Label]
    width: int = HISTOGRAM_WIDTH
    height: int = HISTOGRAM_HEIGHT
    left: int = LEFT
    right: int = HISTOGRAM_WIDTH - RIGHT
    top: int = TOP
    bottom: int = HISTOGRAM_HEIGHT - BOTTOM


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    markers: Sequence[Marker] = (),
    levels: Sequence[Level] = (),
    from_zero: bool = False,
) -> Chart | None:
    """Lay out a chart over steps; points that are no finite number are left out.

    Returns:
        None if no series has a point.
    """
    drawn = [
        Series(one.name, one.style, finite, one.dots)
        for one in series
        if (finite := [(x, y) for x, y in one.points if math.isfinite(x) and math.isfinite(y)])
    ]
    if not drawn:
        return None
    thinned = [Series(one.name, one.style, average_groups(one.points, MAX_POINTS), one.dots) for one in drawn]
    group = max(math.ceil(len(one.points) / MAX_POINTS) for one in drawn)
    xs = [x for one in thinned for x, _ in one.points]
    ys = [y for one in thinned for _, y in one.points] + [level.value for level in levels]
    x_ticks = ticks(min(xs), max(xs), 6)
    y_ticks = ticks(0.0 if from_zero else min(ys), max(ys), 5)
    left, right = min(xs), max(max(xs), min(xs) + 1)
    low, high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)

    def across(x: float) -> float:
        return round(LEFT + (x - left) / (right - left) * (LINE_WIDTH - LEFT - RIGHT), 1)

    def down(y: float) -> float:
        return round(LINE_HEIGHT - BOTTOM - (y - low) / (high - low) * (LINE_HEIGHT - BOTTOM - TOP), 1)

    lines = []
    for one in thinned:
        places = [(across(x), down(y)) for x, y in one.points]
        values = [(px, grouped(x), compact(y)) for (px, _), (x, y) in zip(places, one.points, strict=True)]
        path = "M" + "L".join(f"{px:g},{py:g}" for px, py in places)
        lines.append(Line(one.name, one.style, path, places if one.dots else [], values))
    return Chart(
        title=title,
        note=f"Each point is the mean of {group} log lines." if group > 1 else "",
        x_ticks=[Label(across(x), grouped(x)) for x in x_ticks if left <= x <= right],
        y_ticks=[Label(down(y), compact(y)) for y in y_ticks],
        markers=[
            Label(across(marker.x), marker.name, row)
            for row, marker in enumerate(marker for marker in markers if left <= marker.x <= right)
        ],
        levels=[Label(down(level.value), level.name) for level in levels],
        lines=lines,
    )


def histogram(values: Sequence[tuple[str, Sequence[float]]], unit: str) -> Histogram | None:
    """Stack several groups of values into common bins; each group is (CSS class, values)."""
    everything = [value for _, group in values for value in group]
    if not everything:
        return None
    edges = ticks(min(everything), max(everything), 24)
    width = edges[1] - edges[0]
    counts = [(style, _count_bins(group, edges[0], width, len(edges))) for style, group in values]
    totals = [sum(count[index] for _, count in counts) for index in range(len(edges))]
    y_ticks = [tick for tick in ticks(0, max(totals), 3) if tick == int(tick)]
    high = max(y_ticks[-1], *totals)
    left, right = edges[0], edges[-1] + width
    scale = (HISTOGRAM_WIDTH - LEFT - RIGHT) / (right - left)

    def down(count: float) -> float:
        return round(HISTOGRAM_HEIGHT - BOTTOM - count / high * (HISTOGRAM_HEIGHT - BOTTOM - TOP), 1)

    bars = []
    for index, (edge, total) in enumerate(zip(edges, totals, strict=True)):
        parts, below = [], 0
        for style, count in counts:
            y = down(below + count[index])
            parts.append((style, y, round(down(below) - y, 1)))
            below += count[index]
        words = f"{compact(edge)} to {compact(edge + width)} {unit}: {grouped(total)}"
        bars.append(Bar(round(LEFT + (edge - left) * scale, 1), round(width * scale - 1, 1), parts, words))
    return Histogram(
        bars=bars,
        x_ticks=[
            Label(round(LEFT + (x - left) * scale, 1), f"{compact(x)} {unit}")
            for x in ticks(left, right, 10)
            if left <= x <= right
        ],
        y_ticks=[Label(down(tick), grouped(tick)) for tick in y_ticks],
    )


def _count_bins(values: Sequence[float], first: float, width: float, bins: int) -> list[int]:
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, max(0, math.floor((value - first) / width)))] += 1
    return counts


def average_groups(points: Sequence[Point], most: int) -> list[Point]:
    """At most `most` points, each the mean of equally many neighbours (the last group may be smaller)."""
    size = math.ceil(len(points) / most)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten) that span `low` to `high`.

    >>> ticks(4.13, 6.9, 5)
    [4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0]
    """
    size = max(abs(low), abs(high))
    if high - low <= 1e-9 * size or size < 1e-100:  # flat, as far as anybody can see
        half = 0.5 * size if size >= 1e-100 else 0.5
        low, high = low - half, high + half
    raw = (high - low) / about
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = magnitude * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, 2 - math.floor(math.log10(step)))
    return [round(index * step, digits) for index in range(first, last + 1)]


def grouped(number: float) -> str:
    """A count with thin spaces between thousands: 50 048."""
    return f"{round(number):,}".replace(",", "\u2009")


def compact(number: float) -> str:
    """A measured value in four significant digits: 4.213, 5e-06."""
    return f"{number:.4g}"
