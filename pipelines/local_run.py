"""Run a pipeline on this machine with kfp.local: a subprocess of this Python for each step, no cluster, no container."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from kfp import local

from kftext import cli
from kftext.errors import KftextError
from local_output import BriefOutput

__all__ = ["LocalRun", "StepError", "run_local"]


class StepError(KftextError):
    """A step of a local run ended with an error; the message is the step's own."""


@dataclass(frozen=True)
class LocalRun:
    """What a local run left: the folder of everything it wrote, and the pipeline's outputs (artifacts have `.path`)."""

    folder: Path
    outputs: dict[str, Any]


def run_local(pipeline: Callable[..., Any], arguments: dict[str, Any], root: Path) -> LocalRun:
    """Run a pipeline; artifacts go to a new folder below `root`.

    Raises:
        StepError: a step failed; its message is what the step said last.
    """
    root = root.absolute()
    root.mkdir(parents=True, exist_ok=True)
    before = set(root.iterdir())
    with _termination_log() as log:
        try:
            local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
            with _quiet_kfp():
                outputs = pipeline(**arguments).outputs
        except RuntimeError as error:
            # kfp raises a bare RuntimeError that names the step; what went wrong stands in the step's own message.
            said = log.read_text(encoding="utf-8").strip() if log.exists() else ""
            message = said.removeprefix("error: ") or f"{error} (what it printed stands above)"
            raise StepError(message) from None
    (folder,) = set(root.iterdir()) - before
    return LocalRun(folder, dict(outputs))


@contextlib.contextmanager
def _termination_log() -> Iterator[Path]:
    """Give the steps a file for their last message, through the environment that they inherit."""
    with tempfile.TemporaryDirectory(prefix="kftext-") as folder:
        log = Path(folder, "termination-log")
        os.environ[cli.TERMINATION_LOG] = str(log)
        try:
            yield log
        finally:
            del os.environ[cli.TERMINATION_LOG]


@contextlib.contextmanager
def _quiet_kfp() -> Iterator[None]:
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(cast(TextIO, BriefOutput(sys.stdout))),
    ):
        # Our images are not named "python", which kfp takes for a sign that they hold none.
        warnings.filterwarnings("ignore", "You may be attemping to run a task", RuntimeWarning)
        # Resource requests are for the cluster; here a step has the whole machine.
        warnings.filterwarnings(
            "ignore", ".*have no effect in the current local runner", UserWarning
        )
        yield
