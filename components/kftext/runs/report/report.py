"""The page."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from kftext import storage
from kftext.reports.html import Page
from kftext.runs.report.failures import Failure

__all__ = ["write_report"]

LOG = logging.getLogger(__name__)


def write_report(
    path: storage.StrPath, run: str, state: str, message: str, failures: Sequence[Failure]
) -> None:
    """Write an HTML page about a run that is over, and log what it says in one line.

    Args:
        path: the page.
        run: the run's name.
        state: as Kubeflow Pipelines has it: SUCCEEDED, FAILED, CANCELLED.
        message: what Kubeflow Pipelines says about the state; often nothing.
        failures: the steps that failed.
    """
    said = [f"{one.step}: {one.message}" if one.step else one.message for one in failures]
    reasons = said or ([message] if message else [])
    summary = f"{state.lower()}: {'; '.join(reasons)}" if reasons else state.lower()
    succeeded = state == "SUCCEEDED"
    page = Page(f"Run {run}", summary, status="good" if succeeded else "bad")
    named = [[one.step, one.message] for one in failures if one.step]
    if named:
        page.heading("What failed").table(["step", "message"], named)
    page.write(path)
    LOG.info("%s %s", run, summary)
