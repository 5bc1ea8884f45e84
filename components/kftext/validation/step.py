"""The step: validates a data set, writes the reports, then the Dataset or an error."""

from __future__ import annotations

import logging

from kftext.artifacts import write_json
from kftext.data.rows import Severity
from kftext.validation.output import write_dataset
from kftext.validation.report import ValidationReport
from kftext.validation.request import ValidationRequest
from kftext.validation.scan import scan

__all__ = ["validate"]

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
        write_json(request.json, report.to_dict())
    error = report.error()
    if error is not None:
        raise error
    if report.faults.counts:
        _log.info("warnings: %s", report.faults.summary(Severity.WARNING) or "none")
    if request.output:
        write_dataset(report, request.output)
    return report
