"""Writes the Dataset: points at the source where it is used as it is, else holds what is left of it.

Rows are written as they stood in their file. Lines at fault go to `rejects.jsonl`: one JSON object each with part, file,
line, kind, reason and content (`content_base64` beside it where the bytes are no UTF-8; `truncated` where an overlong line
was cut), so that rows and rejects together are all that was read.
"""

from __future__ import annotations

import base64
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import orjson

from kftext import storage
from kftext.data import readers
from kftext.data.dataset import Dataset
from kftext.data.rows import Fault, FaultKind, Row, Severity
from kftext.errors import DataError
from kftext.progress import Progress
from kftext.validation.report import ValidationReport

__all__ = ["REJECTS_NAME", "write_dataset"]

REJECTS_NAME = "rejects.jsonl"


def write_dataset(report: ValidationReport, output: str) -> Dataset:
    """Write the Dataset of a validation that passed.

    Args:
        report: what the pass over the data found.
        output: folder or prefix; absent or empty before, whole afterwards.

    Returns:
        What `dataset.json` says.

    Raises:
        StorageError: it can't be written.
        DataError: the data are not the same as in the pass before.
    """
    request, suffix = report.request, report.request.format.suffix
    split = request.splitter() is not None
    names: dict[str, str | None] = {"training": None, "validation": None}
    if report.train.rejected or split:
        names["training"] = f"train{suffix}"
    if split or (report.validation and report.validation.rejected):
        names["validation"] = f"validation{suffix}"
    with storage.atomic_directory(output) as folder:
        for part, path in (("training", request.data), ("validation", request.validation_data)):
            if path and names[part]:
                _write_part(report, part, path, Path(folder), names)
        validation = request.validation_data
        dataset = Dataset(
            request.format,
            names["training"] or _absolute(request.data),
            names["validation"] or (_absolute(validation) if validation else None),
            report.statistics(),
            request.options,
        )
        dataset.write(folder)
    return dataset


def _absolute(path: str) -> str:
    return path if "://" in path else str(Path(path).expanduser().absolute())


def _write_part(
    report: ValidationReport, part: str, path: str, folder: Path, names: dict[str, str | None]
) -> None:
    request, splitter = report.request, report.request.splitter()
    written = dict.fromkeys(("rows", "rejects"), 0)
    with ExitStack() as files:
        outputs: dict[str, IO[bytes]] = {
            key: files.enter_context((folder / name).open("wb"))
            for key, name in names.items()
            if name and (key == part or splitter is not None)
        }
        rejects = files.enter_context((folder / REJECTS_NAME).open("ab"))
        progress = files.enter_context(
            Progress(storage.size(path), "B", f"writing what is left of {path}")
        )
        for item in readers.read(path, request.format, request.options, on_bytes=progress.update):
            if isinstance(item, Row):
                split = splitter is not None and splitter.is_validation(item.text)
                outputs["validation" if split else part].write(item.content + b"\n")
                written["rows"] += 1
            elif item.severity is Severity.ERROR:
                rejects.write(orjson.dumps(_reject(part, item)) + b"\n")
                written["rejects"] += 1
    if not (folder / REJECTS_NAME).stat().st_size:
        (folder / REJECTS_NAME).unlink()
    counted = report.parts.values() if splitter is not None else [report.parts[part]]
    expected = {
        "rows": sum(counts.rows for counts in counted),
        "rejects": sum(counts.rejected for counts in counted),
    }
    if written != expected:
        raise DataError(
            f"the data changed while they were validated: {written['rows']:,} rows now, "
            f"{expected['rows']:,} before",
            file=path,
        )


def _reject(part: str, fault: Fault) -> dict[str, Any]:
    value: dict[str, Any] = {
        "part": part,
        "file": fault.file,
        "line": fault.line,
        "kind": fault.kind.value,
        "reason": fault.message,
        "content": fault.content.decode("utf-8", "replace"),
    }
    if value["content"].encode() != fault.content:
        value["content_base64"] = base64.b64encode(fault.content).decode()
    if fault.kind is FaultKind.OVERLONG_LINE:
        value["truncated"] = True
    return value
