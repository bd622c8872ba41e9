"""How the cost of an event grows: `python -m bench.growth [--output docs/growth.svg] [--data docs/growth.json]`.

Measures decode + match with ever more rules, items of a list and words, and draws it: one picture, and the figures
beside it as JSON. With `--draw` it only draws what is in the data.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from bench import rulesets, scenarios
from bench.measure import Group, Measurement, Result, machine, measure
from bench.rulesets import Rules
from bench.scenarios import FALCO, ROOT, SHIPPED, Events

PICTURE = ROOT / "docs" / "growth.svg"
DATA = ROOT / "docs" / "growth.json"

_INK = "#7d8590"
"""Readable on white and on black."""
_LINES = ("#2f81f7", "#d9822b")


class Line(TypedDict):
    """A line of a picture: `points` are (how many, best microseconds an event, median of the ratios to the first)."""

    name: str
    points: list[tuple[int, float, float]]


class Curve(TypedDict):
    """A picture: cost against how many there are of something. `floor`: what plain decoding takes, microseconds."""

    of: str
    floor: float
    lines: list[Line]


Made = Callable[[int], Rules]


def curves(quick: bool) -> list[Curve]:
    """Measure everything."""
    events = scenarios.recorded("bench-60k", 1_500 if quick else None) or scenarios.generated(20_000)
    path = FALCO if FALCO.exists() else SHIPPED
    rules = Rules(path.stem, path.read_text("utf-8"))
    base = len(rules.load().rules)
    rounds = 1 if quick else 5
    factors = (1, 3) if quick else (1, 3, 10, 30, 100)
    items = (10, 100) if quick else (10, 100, 1_000, 10_000, 100_000)
    words = (10, 30) if quick else (10, 30, 100, 300, 1_000, 3_000)
    return [
        _curve(
            "rules",
            events,
            {"with constants of their own": lambda count: rules.copies(count // base)},
            [base * factor for factor in factors],
            rounds,
        ),
        _curve(
            "items of a list",
            events,
            {f"{field} in": partial(rulesets.in_list, rules, field) for field in ("ka.user.name", "ka.target.name")},
            items,
            rounds,
        ),
        _curve(
            "words, ka.uri contains",
            events,
            {
                "in one rule": partial(rulesets.contains, rules, "ka.uri"),
                "each in a rule": partial(rulesets.contains, rules, "ka.uri", spread=True),
            },
            words,
            rounds,
        ),
    ]


def _curve(of: str, events: Events, lines: dict[str, Made], counts: Sequence[int], rounds: int) -> Curve:
    """All points of a curve are measured side by side."""

    def build() -> list[Measurement]:
        found = [Measurement("floor", scenarios.floor(events), len(events.lines))]
        for name, made in lines.items():
            base = f"{name} {counts[0]}"
            for count in counts:
                scenario = scenarios.decode_and_match(events, made(count).load().ruleset)
                found.append(Measurement(f"{name} {count}", scenario, len(events.lines), base))
        return found

    results = {result.name: result for result in measure(Group(of, build), rounds)}
    return Curve(
        of=of,
        floor=round(results["floor"].best * 1e6, 2),
        lines=[
            Line(name=name, points=[_point(count, results[f"{name} {count}"]) for count in counts]) for name in lines
        ],
    )


def _point(count: int, result: Result) -> tuple[int, float, float]:
    return count, round(result.best * 1e6, 2), round(result.ratio or 1, 2)


def draw(found: Sequence[Curve], path: Path) -> None:
    """Draw the curves side by side; the same file for the same data."""
    style: Any = {  # names of settings, of which each version of matplotlib knows others
        "svg.hashsalt": "lanner",
        "svg.fonttype": "none",
        "font.size": 9,
        "font.family": "sans-serif",
        "text.color": _INK,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(10, 3.2), layout="constrained")
        FigureCanvasSVG(figure)
        top = max(point[1] for curve in found for line in curve["lines"] for point in line["points"])
        for number, curve in enumerate(found, 1):
            axes = figure.add_subplot(1, len(found), number)
            _draw_curve(axes, curve, top)
            if number == 1:
                axes.set_ylabel("decode + match, us per event")
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})


def _draw_curve(axes: Axes, curve: Curve, top: float) -> None:
    for line, colour in zip(curve["lines"], _LINES, strict=False):
        counts = [point[0] for point in line["points"]]
        axes.plot(counts, [point[1] for point in line["points"]], "o-", color=colour, ms=4, label=line["name"])
    axes.axhline(curve["floor"], color=_INK, ls="--", lw=1, label="floor: msgspec alone")
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(0, top * 1.4)  # room for the legend
    axes.set_xlabel(curve["of"])
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=_INK, alpha=0.25, lw=0.6)
    axes.legend(frameon=False, loc="upper left", labelcolor=_INK)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description="measure and draw how costs grow")
    parser.add_argument("--output", type=Path, default=PICTURE, metavar="SVG", help="the picture (docs/growth.svg)")
    parser.add_argument("--data", type=Path, default=DATA, metavar="JSON", help="the figures (docs/growth.json)")
    parser.add_argument("--draw", action="store_true", help="draw the figures that are there")
    parser.add_argument("--quick", action="store_true", help="few points: shows that it runs")
    options = parser.parse_args(arguments)
    if not options.draw:
        document: dict[str, Any] = {"machine": machine(), "curves": curves(options.quick)}
        options.data.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    draw(json.loads(options.data.read_bytes())["curves"], options.output)


if __name__ == "__main__":
    main()
