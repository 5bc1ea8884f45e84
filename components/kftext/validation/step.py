"""The step: validates a data set, writes the reports, then the Dataset or an error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson

from kftext import storage
from kftext.data.rows import Severity
from kftext.validation.output import write_dataset
from kftext.validation.report import ValidationReport
from kftext.validation.request import ValidationRequest
from kftext.validation.scan import scan

__all__ = ["validate", "write_metrics"]

_log = logging.getLogger(__name__)


def validate(request: ValidationRequest) -> ValidationReport:
    """Validate a data set.

    The reports are written whether the data pass or not; the Dataset only when they do. Warnings never fail.

    Raises:
        DataError: the data can't be used; names the first fault and counts them by kind.
        StorageError: something can't be read or written.
        MissingExtraError: an HTML report is asked for, and what draws it is not installed.
    """
    if request.report:
        # Before the data are read, which can take an hour: is there what draws the report?
        from kftext.reports import charts
        from kftext.reports.html import Page

        charts.require()
        Page("", "")
    report = scan(request)
    if request.report:
        from kftext.validation.page import make_page

        make_page(report).write(request.report)
    if request.json:
        _write_json(report.to_dict(), request.json)
    error = report.error()
    if error is not None:
        raise error
    if report.faults.counts:
        _log.info("warnings: %s", report.faults.summary(Severity.WARNING) or "none")
    if request.output:
        write_dataset(report, request.output)
    return report


def write_metrics(report: ValidationReport, path: str) -> None:
    """Write the report's metrics as a JSON object.

    Raises:
        StorageError: it can't be written.
    """
    _write_json(report.metrics(), path)


def _write_json(value: Mapping[str, Any], path: str) -> None:
    with storage.open_writer(path) as stream:
        stream.write(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")
