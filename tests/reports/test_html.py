"""HTML pages: escaped, self-contained, well-formed."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from kftext.errors import StorageError
from kftext.reports import charts
from kftext.reports.html import Page

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Outline(HTMLParser):
    """Checks that tags nest, and collects what a browser would fetch."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.text = ""
        self.feed(page)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "action", "data") and not value.startswith(
                "#"
            ):
                self.fetched.append(value)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def make_page() -> Page:
    page = Page("Title <b>", "Summary & more", status="good")
    page.heading("Part 1").text("A <script>alert(1)</script> text.")
    page.table(["name", "rows"], [["<i>x</i>", 1234567], [None, 0.5], [True, 12345.678]], "Numbers")
    return page.figure(charts.bars({"a<b>": 3, "b&c": 2}, "rows"), "Bars").figure(
        charts.lines({"loss": [1.0, 0.5]}, "epoch", "loss")
    )


def test_page_is_well_formed_and_escaped(tmp_path: Path):
    make_page().write(tmp_path / "new" / "page.html")
    page = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    outline = Outline(page)
    assert outline.tags.count("svg") == 2
    assert "script" not in outline.tags and "i" not in outline.tags
    for text in ("Title <b>", "Summary & more", "<script>alert(1)</script>", "<i>x</i>", "1,234,567",
                 "0.5", "yes", "12,346", "a<b>", "b&c"):  # fmt: skip
        assert text in outline.text, text
    assert "None" not in outline.text
    assert "th" in outline.tags and "caption" in outline.tags and "figcaption" in outline.tags


def test_page_needs_no_network():
    page = make_page().render()
    assert Outline(page).fetched == []
    assert "@import" not in page and "url(http" not in page
    assert "prefers-color-scheme: dark" in page


def test_ids_of_several_pictures_differ():
    figure = charts.histogram({1: 5, 2: 3}, "tokens", "rows", marks={"median": 1})
    other = charts.histogram({1: 5, 2: 4}, "tokens", "rows", marks={"median": 1})

    def ids(svg: str) -> set[str]:
        return {part.split('"')[0] for part in svg.split(' id="')[1:]}

    assert ids(figure)
    assert not ids(figure) & ids(other)


def test_nothing_is_left_when_the_page_can_not_be_written(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        make_page().write(tmp_path / "file" / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
