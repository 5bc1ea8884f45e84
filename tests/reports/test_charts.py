"""Charts: an SVG that says what the data say."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest

from kftext.errors import MissingExtraError
from kftext.reports import charts

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    return ["".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")]


MAKERS: list[Callable[[], str]] = [
    lambda: charts.bars({"a": 3, "b": 1}, "rows"),
    lambda: charts.histogram({3: 5, 9: 1}, "tokens", "rows", marks={"median": 3}),
    lambda: charts.confusion_matrix([[3, 1], [0, 0]], ["a", "b"]),
    lambda: charts.scatter([1, 2, 3], [0.1, 0.5, 0.4], "human score", "cosine"),
    lambda: charts.lines({"train": [1, 2], "validation": [1, 1.5]}, "epoch", "accuracy"),
]


@pytest.mark.parametrize("make", MAKERS)
def test_a_chart_is_the_same_each_time_and_takes_the_color_of_the_page(make: Callable[[], str]):
    svg = make()
    assert svg == make()
    assert texts(svg)
    assert "currentColor" in svg
    assert "#010203" not in svg
    assert "http" not in svg.replace("http://www.w3.org/", "")
    assert "matplotlib.pyplot" not in sys.modules or "pyplot" not in charts.__dict__


def test_bars_are_ranked_and_the_rest_is_summed():
    shown = texts(charts.bars({f"label{n}": n for n in range(1, 101)}, "rows", top=5))
    names = [text for text in shown if text.startswith("label") or "others" in text]
    assert names == ["label100", "label99", "label98", "label97", "label96", "95 others"]
    assert "4,560 (bar cut)" in shown
    assert {"100", "99", "98", "97", "96", "rows"} <= set(shown)
    # One more than asked for is shown rather than called "1 others".
    assert not any(
        "others" in text for text in texts(charts.bars({"a": 1, "b": 2, "c": 3}, "rows", top=2))
    )


def test_names_are_shown_as_they_are():
    shown = texts(charts.bars({"$x$ and $y$": 2, "a" * 100: 1, "日本\x07": 1}, "rows"))
    assert "$x$ and $y$" in shown
    assert "a" * 31 + "…" in shown
    assert "日本�" in shown


@pytest.mark.parametrize(
    "counts", [{}, {0: 3}, {1: 1}, {5: 10, 6: 3}, {1: 10, 100_000: 1}, {0: 1, 2000: 4}]
)
def test_histograms_of_any_range(counts: dict[int, int]):
    assert "tokens" in texts(charts.histogram(counts, "tokens", "rows"))


def test_histogram_heights_add_up_to_the_rows(monkeypatch: pytest.MonkeyPatch):
    import matplotlib.axes

    drawn = []
    original = matplotlib.axes.Axes.stairs
    monkeypatch.setattr(
        matplotlib.axes.Axes,
        "stairs",
        lambda self, heights, *rest, **more: (
            drawn.append(heights) or original(self, heights, *rest, **more)
        ),
    )
    for counts in (
        {n: n for n in range(50)},
        dict.fromkeys(range(0, 5000, 7), 2),
        {399: 1, 400: 2, 0: 4},
    ):
        charts.histogram(counts, "tokens", "rows")
        assert sum(drawn.pop()) == sum(counts.values())


@pytest.mark.parametrize("size", [1, 2, 15, 20, 60])
def test_confusion_matrices_of_any_size(size: int):
    matrix = [[row * size + column for column in range(size)] for row in range(size)]
    shown = texts(charts.confusion_matrix(matrix, [f"class {n}" for n in range(size)]))
    assert {"predicted", "true"} <= set(shown)
    assert ("class 0" in shown) == (size <= 40)
    assert (str(size * size - 1) in shown) == (size <= 15)


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'kftext\[evaluation\]'"):
        charts.bars({"a": 1}, "rows")
