"""An HTML page made of sections: text, tables, figures. One file, nothing fetched, readable in light and dark.

page = Page("Validation of reviews.csv", "120,000 rows, no errors.")
page.heading("Labels").table(["label", "rows"], [["0", 60_000], ["1", 60_000]])
page.figure(charts.bars({"0": 60_000, "1": 60_000}, "rows"), "Rows by label")
page.write("report.html")
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from typing import Any, Self

from kftext import storage
from kftext.errors import MissingExtraError

__all__ = ["Page"]

_TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --text: #1f2328; --page: #ffffff; --muted: #59636e; --line: #d1d9e0; --shade: #f6f8fa;
        --good: #1a7f37; --bad: #cf222e; --warn: #9a6700; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6edf3; --page: #0d1117; --muted: #9198a1; --line: #3d444d; --shade: #151b23;
          --good: #3fb950; --bad: #f85149; --warn: #d29922; } }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: var(--text); background: var(--page);
       font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin-bottom: .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin-top: 2rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
.summary { font-size: 1.05rem; border-left: .25rem solid var(--line); padding: .25rem 1rem; overflow-wrap: anywhere;
           white-space: pre-line; }
.summary.good { border-color: var(--good); } .summary.bad { border-color: var(--bad); } .summary.warn { border-color: var(--warn); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem; }
caption, figcaption { text-align: left; color: var(--muted); font-size: .92rem; padding: .25rem 0; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; vertical-align: top; overflow-wrap: break-word;
         max-width: 40rem; }
th { white-space: nowrap; background: var(--shade); } td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; }
footer { margin-top: 3rem; color: var(--muted); font-size: .85rem; }
</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<p class="summary {{ status }}">{{ summary }}</p>
{% for section in sections %}
{% if section.kind == "heading" %}<h2>{{ section.text }}</h2>
{% elif section.kind == "text" %}<p>{{ section.text }}</p>
{% elif section.kind == "figure" %}<figure>{{ section.svg | safe }}<figcaption>{{ section.caption }}</figcaption></figure>
{% else %}<div class="scroll"><table>{% if section.caption %}<caption>{{ section.caption }}</caption>{% endif %}
<thead><tr>{% for header in section.headers %}<th scope="col">{{ header }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in section.rows %}<tr>{% for cell in row %}<td{% if cell is number %} class="number"{% endif %}>{{ cell | show }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>
{% endif %}
{% endfor %}
</main>
<footer>kftext {{ version }}</footer>
</body>
</html>
"""


class Page:
    """A page that grows by sections; each method returns the page.

    Args:
        title: of the page.
        summary: what a reader must know who reads nothing else.
        status: "good", "warn", "bad" or "" for the colour beside the summary.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """

    def __init__(self, title: str, summary: str, *, status: str = ""):
        _template()
        self._title, self._summary, self._status = title, summary, status
        self._sections: list[dict[str, Any]] = []

    def heading(self, text: str) -> Self:
        """Start a part of the page."""
        self._sections.append({"kind": "heading", "text": text})
        return self

    def text(self, text: str) -> Self:
        """Add a paragraph of plain text."""
        self._sections.append({"kind": "text", "text": text})
        return self

    def table(
        self, headers: Sequence[str], rows: Iterable[Sequence[object]], caption: str = ""
    ) -> Self:
        """Add a table. Numbers stand to the right, integers with thousands apart, others with four digits; None is left empty."""
        self._sections.append(
            {"kind": "table", "headers": headers, "rows": list(rows), "caption": caption}
        )
        return self

    def figure(self, svg: str, caption: str = "") -> Self:
        """Add a picture: an SVG element as `kftext.reports.charts` makes them. It is not escaped."""
        self._sections.append({"kind": "figure", "svg": svg, "caption": caption})
        return self

    def render(self) -> str:
        """Return the page as HTML."""
        from kftext import __version__

        return _template().render(
            title=self._title,
            summary=self._summary,
            status=self._status,
            sections=self._sections,
            version=__version__,
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a local path or URI, whole or not at all.

        Raises:
            StorageError: it can't be written.
        """
        content = self.render().encode("utf-8", "backslashreplace")
        with storage.open_writer(path) as stream:
            stream.write(content)


@functools.cache
def _template() -> Any:
    try:
        import jinja2
    except ImportError:
        raise MissingExtraError("an HTML report", "evaluation") from None
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["show"] = _show
    return environment.from_string(_TEMPLATE)


def _show(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:#,.4g}" if abs(cell) < 1000 else f"{cell:,.0f}"
    return str(cell)
