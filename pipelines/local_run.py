"""Run a pipeline on this machine with kfp.local: a subprocess of this Python for each step, no cluster, no container."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

import orjson
import yaml
from kfp import components, local

from compiled import compiled, component_of
from kftext import cli
from kftext.errors import KftextError
from local_output import BriefOutput

__all__ = ["Artifact", "LocalRun", "StepError", "run_local"]


class StepError(KftextError):
    """A step of a local run ended with an error; the message is the step's own."""


@dataclass(frozen=True)
class Artifact:
    """A file or folder that a step left, and the figures and words that belong to it."""

    path: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class LocalRun:
    """What a local run left.

    Attributes:
        folder: everything it wrote, a folder for each step.
        outputs: what a person looks for, by the names of `_OUTPUTS`; artifacts, and the endpoint's URL as a str.
    """

    folder: Path
    outputs: dict[str, Any]


_OUTPUTS = {
    "model": ("train_text_classifier.model", "train_blazingtext.model", "import_model.model"),
    "vectors": ("train_blazingtext.model",),
    "metrics": ("evaluate_classifier.metrics", "evaluate_word_vectors.metrics"),
    "validation_report": ("validate_data.report",),
    "training_report": ("train_text_classifier.report",),
    "evaluation_report": ("evaluate_classifier.report", "evaluate_word_vectors.report"),
    "archive": ("package_model.archive",),
    "model_card": ("register_model.card",),
    "run_report": ("report_run.report",),
    "url": ("deploy.url",),
}
"""Name → step and output; the first that the run has and that has no name yet. Pipelines can't return what steps inside an
exit handler leave."""


def run_local(pipeline: Any, arguments: dict[str, Any], root: Path) -> LocalRun:
    """Run a pipeline; artifacts go to a new folder below `root`.

    Raises:
        StepError: a step failed; its message is what the step said last.
    """
    root = root.absolute()
    root.mkdir(parents=True, exist_ok=True)
    before = set(root.iterdir())
    runnable = _for_this_machine(pipeline)
    with _termination_log() as log:
        try:
            local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(root))
            with _quiet_kfp():
                runnable(**arguments)
        except RuntimeError as error:
            # kfp raises a bare RuntimeError that names the step; what went wrong stands in the step's own message.
            said = log.read_text(encoding="utf-8").strip() if log.exists() else ""
            message = said.removeprefix("error: ") or f"{error} (what it printed stands above)"
            raise StepError(message) from None
    (folder,) = set(root.iterdir()) - before
    return LocalRun(folder, _named_outputs(folder))


def _for_this_machine(pipeline: Any) -> Any:
    """Return the compiled pipeline without what is for a cluster alone: here, a step that fails would fail again."""
    specification = compiled(pipeline)[0]
    for part in (specification["root"], *specification["components"].values()):
        for task in part.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)
    return components.load_component_from_text(yaml.safe_dump(specification))


def _named_outputs(folder: Path) -> dict[str, Any]:
    left: dict[str, Any] = {}
    for file in sorted(folder.glob("*/executor_output.json"), reverse=True):
        output, step = orjson.loads(file.read_bytes()), component_of(file.parent.name)
        for key, value in output.get("parameterValues", {}).items():
            left[f"{step}.{key}"] = value
        for key, value in output.get("artifacts", {}).items():
            (found,) = value["artifacts"]
            left[f"{step}.{key}"] = Artifact(found["uri"], found.get("metadata", {}))
    named: dict[str, Any] = {}
    for name, places in _OUTPUTS.items():
        place = next((place for place in places if place in left), None)
        if place is not None:
            named[name] = left.pop(place)
    return named


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
