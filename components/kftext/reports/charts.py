"""Charts as SVG elements for `Page.figure`: no script, no font file, text in the page's own colour (light and dark alike).

Figures are made without pyplot, so that nothing is kept between two calls and no display is asked for.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kftext.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "against_diagonal",
    "bars",
    "confusion_matrix",
    "histogram",
    "lines",
    "require",
    "scatter",
]

_INK = "#010203"
"""Stands for the page's text colour; becomes `currentColor`."""

_BLUE = "#3b82f6"
_COLORS = (_BLUE, "#f59e0b", "#10b981", "#ef4444", "#8b5cf6", "#6b7280")
_WIDTH = 7.6


def require() -> None:
    """Check that charts can be drawn.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError("a chart", "evaluation")


def bars(values: Mapping[str, float], unit: str, *, top: int = 30) -> str:
    """Draw one horizontal bar a name, the largest first, and what is left of them as "n others".

    Args:
        values: by name.
        unit: what the values count.
        top: how many bars at most, the one of the others not counted.
    """
    ranked = sorted(values.items(), key=lambda item: -item[1])
    shown = ranked if len(ranked) <= top + 1 else ranked[:top]
    rest = ranked[len(shown) :]
    if rest:
        shown.append((f"{len(rest):,} others", sum(value for _, value in rest)))
    figure, axes = _figure(0.6 + 0.26 * max(len(shown), 2))
    positions = range(len(shown))
    # The sum of many small ones can dwarf the bars that matter: its bar is then cut, and says so.
    limit = 1.25 * shown[0][1] if rest else float("inf")
    drawn = axes.barh(
        positions, [min(value, limit) for _, value in shown], color=_BLUE, height=0.72
    )
    if rest:
        drawn[-1].set_color(_COLORS[-1])
    axes.set_yticks(positions, [_shorten(name) for name, _ in shown])
    notes = [_number(value) + (" (bar cut)" if value > limit else "") for _, value in shown]
    axes.bar_label(drawn, notes, padding=3, color=_INK, fontsize=8)
    axes.margins(x=0.12, y=0.01)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.xaxis.set_major_formatter(lambda value, _: _number(value))
    axes.grid(axis="y", visible=False)
    return _svg(figure)


def histogram(
    counts: Mapping[int, int], xlabel: str, ylabel: str, *, marks: Mapping[str, float] | None = None
) -> str:
    """Draw how often each length occurs; lengths that spread over orders of magnitude get a logarithmic axis.

    Args:
        counts: number of occurrences by value; values >= 0.
        xlabel: what the value is.
        ylabel: what is counted.
        marks: names and positions of lines across ("median", "95 %").
    """
    import numpy as np

    figure, axes = _figure(2.9)
    values = np.fromiter(counts.keys(), np.float64, len(counts))
    weights = np.fromiter(counts.values(), np.float64, len(counts))
    largest = float(values.max(initial=1.0))
    logarithmic = largest > 400
    if logarithmic:
        edges = np.unique(np.round(np.geomspace(1, largest + 1, 48)))
        axes.set_xscale("log")
    else:
        edges = np.arange(0, largest + 2, max(1, round(largest / 60))) - 0.5
        edges = np.append(edges, largest + 0.5) if edges[-1] < largest else edges
    heights, _ = np.histogram(np.maximum(values, edges[0]), bins=edges, weights=weights)
    axes.stairs(heights, edges, fill=True, color=_BLUE)
    for (name, position), style in zip((marks or {}).items(), ("-", "--", ":", "-."), strict=False):
        axes.axvline(
            max(position, float(edges[0])), color=_INK, linestyle=style, linewidth=1,
            label=f"{name}: {_number(position)}",
        )  # fmt: skip
    if marks:
        axes.legend(frameon=False, labelcolor=_INK, fontsize=8)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.yaxis.set_major_formatter(lambda value, _: _number(value))
    if logarithmic:
        axes.xaxis.set_major_formatter(lambda value, _: _number(value))
        axes.xaxis.set_minor_formatter(lambda value, _: "")
    axes.grid(axis="x", visible=False)
    return _svg(figure)


def confusion_matrix(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Draw a confusion matrix: true labels down, predicted labels across, shade = share of the row.

    Args:
        matrix: [labels][labels] counts, first index the true label.
        labels: their names, in the matrix's order.
    """
    import numpy as np

    counts = np.asarray(matrix, dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = len(labels)
    side = min(max(2.6, 0.5 * size + 1.4), 9.5)
    figure, axes = _figure(side, width=min(side + 1.6, 11.0))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    if size <= 40:
        names = [_shorten(label, 18) for label in labels]
        axes.set_xticks(range(size), names, rotation=45 if size > 3 else 0, ha="right" if size > 3 else "center")  # fmt: skip
        axes.set_yticks(range(size), names)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    if size <= 15:
        for row in range(size):
            for column in range(size):
                axes.text(
                    column, row, _number(counts[row, column]), ha="center", va="center", fontsize=8,
                    color="white" if shares[row, column] > 0.5 else "#1f2328",
                )  # fmt: skip
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.grid(visible=False)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, format=lambda value, _: f"{value:.0%}")
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=_INK)
    return _svg(figure)


def scatter(x: Sequence[float], y: Sequence[float], xlabel: str, ylabel: str) -> str:
    """Draw one dot a pair of values, for example human score against cosine similarity."""
    figure, axes = _figure(3.8, width=5.6)
    axes.scatter(x, y, s=14, alpha=0.6, color=_BLUE, linewidths=0)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return _svg(figure)


def against_diagonal(
    x: Sequence[float], y: Sequence[float], xlabel: str, ylabel: str, *, markers: bool = False
) -> str:
    """Draw a curve within the unit square, and the diagonal: a ROC curve, a reliability diagram.

    Args:
        x: rising, 0 to 1.
        y: 0 to 1.
        xlabel: what x is.
        ylabel: what y is.
        markers: whether each point is marked.
    """
    figure, axes = _figure(3.8, width=4.4)
    axes.plot([0, 1], [0, 1], color=_INK, alpha=0.5, linestyle="--", linewidth=1)
    axes.plot(x, y, color=_BLUE, marker="o" if markers else "", markersize=4)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    return _svg(figure)


def lines(
    series: Mapping[str, Sequence[float]], xlabel: str, ylabel: str, *, start: int = 1
) -> str:
    """Draw curves over steps, for example loss or accuracy over epochs.

    Args:
        series: values at step `start`, `start` + 1, ..., by the curve's name.
        xlabel: what a step is.
        ylabel: what the values are.
        start: number of the first step.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure(2.9)
    for index, (name, values) in enumerate(series.items()):
        steps = range(start, start + len(values))
        color = _COLORS[index % len(_COLORS)]
        axes.plot(steps, values, marker="o", markersize=4, color=color, label=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if len(series) > 1:
        axes.legend(frameon=False, labelcolor=_INK, fontsize=8)
    return _svg(figure)


def _figure(height: float, *, width: float = _WIDTH) -> tuple[Figure, Axes]:
    """Make an empty chart of that size in inches, in the style all share."""
    require()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.set_axisbelow(True)
    axes.grid(color=_INK, alpha=0.15, linewidth=0.6)
    axes.tick_params(colors=_INK, labelsize=9, length=0)
    for side in ("xaxis", "yaxis"):
        getattr(axes, side).label.set_color(_INK)
    for name, spine in axes.spines.items():
        spine.set_color(_INK)
        spine.set_alpha(0.4)
        spine.set_visible(name in ("left", "bottom"))
    return figure, axes


def _svg(figure: Figure) -> str:
    """Write a figure as an SVG element. The same figure gives the same bytes."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    # Text stays text, in a font that every reader has.
    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "kftext",
        "font.family": "sans-serif",
    }
    output = io.StringIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # The reader's fonts draw the text, not the one that only measures it here.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        FigureCanvasSVG(figure).print_svg(output, metadata={"Date": None, "Creator": None})
    text = output.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Several pictures share a page: what they name inside must differ.
    salt = hashlib.sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>c{salt}-", text)
    return text.replace(_INK, "currentColor")


def _number(value: float) -> str:
    if value == 0:
        return "0"
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if suffix == 'k' else limit):.3g}{suffix}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"


def _shorten(name: str, length: int = 32) -> str:
    name = "".join(character if character.isprintable() else "�" for character in name)
    name = name if len(name) <= length else name[: length - 1] + "…"
    return name.replace("$", r"\$")  # a dollar sign starts no formula
