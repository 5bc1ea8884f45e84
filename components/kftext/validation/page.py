"""The validation report as an HTML page."""

from __future__ import annotations

from kftext.data.rows import Severity
from kftext.reports import charts
from kftext.reports.html import Page
from kftext.validation.report import ValidationReport
from kftext.validation.statistics import PartStatistics

__all__ = ["make_page"]

_TITLES = {
    Severity.FATAL: "Faults of the data set",
    Severity.ERROR: "Lines at fault",
    Severity.WARNING: "Warnings",
}


def make_page(report: ValidationReport) -> Page:
    """Make the page.

    Raises:
        MissingExtraError: Jinja2 or matplotlib is not installed.
    """
    error = report.error()
    warnings = report.faults.total(Severity.WARNING)
    if error is not None:
        status, summary = "bad", f"Failed. {error}"
    elif warnings or report.faults.counts:
        status = "warn"
        left_out = sum(part.rejected for part in report.parts.values())
        summary = f"Passed with {warnings:,} warnings; {left_out:,} lines at fault were left out."
    else:
        status, summary = "good", "Passed: nothing is wrong."
    page = Page(f"Validation of {report.request.data}", summary, status=status)
    _overview(page, report)
    _faults(page, report)
    for name, part in report.parts.items():
        if part.rows:
            _pictures(page, name, part)
    return page


def _overview(page: Page, report: ValidationReport) -> None:
    values = {name: part.to_dict() for name, part in report.parts.items()}
    rows: list[list[object]] = []
    for key, title in (
        ("rows", "rows"),
        ("rejected", "lines at fault"),
        ("tokens", "tokens"),
        ("distinct_words", "distinct words"),
        ("distinct_labels", "distinct labels"),
        ("duplicates", "texts seen before in this part"),
        ("conflicting_labels", "of those, with other labels"),
        ("leaks", "texts that are in the training data"),
    ):
        label_only = key in ("distinct_labels", "conflicting_labels")
        if (label_only and not report.request.format.has_labels) or (
            key == "leaks" and report.validation is None
        ):
            continue
        cells = [
            None if key == "leaks" and name == "training" else values[name][key] for name in values
        ]
        rows.append([title, *cells])
    for key, title in (("min", "fewest"), ("median", "median"), ("p95", "95 % have at most"),
                       ("p99", "99 % have at most"), ("max", "most")):  # fmt: skip
        rows.append(
            [f"tokens a row: {title}", *(part["tokens_a_row"][key] for part in values.values())]
        )
    page.heading("Overview").table(["", *values], rows)
    if not all(part["distinct_words_exact"] for part in values.values()):
        page.text("The number of distinct words is an estimate, good to about 0.5 %.")
    speed = report.size / 1e6 / max(report.seconds, 1e-9)
    page.text(
        f"Format {report.request.format.value}. Read {report.size:,} bytes in "
        f"{report.seconds:.1f} s ({speed:.0f} MB/s)."
    )


def _faults(page: Page, report: ValidationReport) -> None:
    for severity, title in _TITLES.items():
        kinds = [kind for kind in report.faults.counts if kind.severity is severity]
        if not kinds:
            continue
        kinds.sort(key=lambda kind: -report.faults.counts[kind])
        page.heading(title)
        page.table(
            ["kind", "what it is", "number"],
            [[kind.value, kind.meaning, report.faults.counts[kind]] for kind in kinds],
        )
        for kind in kinds:
            examples = report.faults.examples[kind]
            page.table(
                ["file", "line", "what was found", "content"],
                [
                    [fault.file, str(fault.line or ""), fault.message, _show(fault.content)]
                    for fault in examples
                ],
                f"{kind.value}: the first {len(examples):,} of {report.faults.counts[kind]:,}"
                if len(examples) == report.request.examples
                else kind.value,
            )


def _show(content: bytes) -> str:
    text = content[:120].decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _pictures(page: Page, name: str, part: PartStatistics) -> None:
    page.heading(f"{name.capitalize()} part")
    if part.labels:
        page.figure(
            charts.bars(part.labels, "rows"), f"Rows by label ({len(part.labels):,} labels)"
        )
    if len(part.labels_a_row) > 1:
        page.table(["labels a row", "rows"], sorted(part.labels_a_row.items()))
    marks = {"median": part.quantile(0.5), "95 %": part.quantile(0.95)}
    page.figure(charts.histogram(part.lengths, "tokens", "rows", marks=marks), "Tokens a row")
