"""The step: predict every line of the input, in parts that a later run need not repeat."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from kftext import models, storage
from kftext.batch.answers import output_of
from kftext.batch.parts import REJECTS, Asked, Part, State
from kftext.batch.records import InputFormat, format_of
from kftext.batch.workers import Piece, Question, Task, predict_all
from kftext.cores import available_cores
from kftext.data.lines import read_blocks
from kftext.data.rows import Fault, FaultKind, Severity
from kftext.errors import DataError, UsageError
from kftext.models import Predictor
from kftext.models.answers import on_tensorflow
from kftext.models.loading import model_source
from kftext.packaging import unpack
from kftext.packaging.packing import ARCHIVE_NAME
from kftext.progress import Progress
from kftext.storage.digest import content_of
from kftext.storage.files import list_sizes

__all__ = ["BatchRequest", "BatchSummary", "transform"]

_FILE_SUFFIXES = (".jsonl", ".json", ".ndjson", ".out", ".txt")
_ARCHIVES = (".tar.gz", ".tgz")
_WORTH_PROCESSES = 16 << 20
"""Bytes of input from which on processes, each of which loads the model, take less time to start than they save."""
_WORTH_IMPORTS = 8 * _WORTH_PROCESSES
"""The same where each imports TensorFlow."""


@dataclass(frozen=True)
class BatchRequest:
    """What to transform.

    Attributes:
        model: model folder, fastText binary or model.tar.gz; local or s3://.
        input: a file, folder or prefix; local or s3://, plain or gzip.
        output: a folder or prefix for parts; or a file, where it ends in .jsonl, .json, .ndjson, .out or .txt.
        format: how the input is read.
        results: what is written of each line, "" for the model's default (`kftext.models.Output`).
        k: labels or neighbours, where a line doesn't say; 0 for 1 label or 10 neighbours.
        threshold: labels below this probability are left out.
        processes: how many predict; 0 for as many as there are cores.
        part_bytes: bytes of input (decompressed) from which on a part is closed.
    """

    model: str
    input: str
    output: str
    format: InputFormat = InputFormat.AUTO
    results: str = ""
    k: int = 0
    threshold: float = 0.0
    processes: int = 0
    part_bytes: int = 64 << 20

    def __post_init__(self) -> None:
        for name, least in {"k": 0, "processes": 0, "part_bytes": 1}.items():
            if getattr(self, name) < least:
                raise UsageError(f"{name}={getattr(self, name)}: expected an integer >= {least}")
        if not 0 <= self.threshold <= 1:
            raise UsageError(f"threshold={self.threshold}: expected a number from 0 to 1")
        within = storage.join(self.input).rstrip("/") + "/"
        if f"{storage.join(self.output)}/".startswith(within):
            raise UsageError(
                f"output {self.output} lies in the input {self.input}: a later run would read it as input"
            )

    @property
    def writes_file(self) -> bool:
        """Whether the output is one file."""
        if self.output.endswith("/"):
            return False
        if not storage.is_remote(self.output) and Path(storage.join(self.output)).is_dir():
            return False
        return self.output.lower().endswith(_FILE_SUFFIXES)


@dataclass(frozen=True)
class BatchSummary:
    """What a run did.

    Attributes:
        output: the folder of parts, or the file.
        files, lines, rejected: how many there were, those of the parts that an earlier run left included.
        resumed_lines: how many of the lines an earlier run had predicted.
    """

    output: str
    files: int
    lines: int
    rejected: int
    resumed_lines: int


def transform(request: BatchRequest) -> BatchSummary:
    """Predict every line of the input.

    A run that was killed is gone on with by the same call: what is in complete parts is not predicted again. Where the output
    is a file its parts lie in `<file>.parts` meanwhile; for a remote file, in a temporary folder that ends with the process.

    Returns:
        How much was done.

    Raises:
        UsageError: the arguments make no sense together, or the output holds results of something else.
        DataError: a file is no text, its gzip stream is damaged, or not one line can be predicted.
        ModelFormatError, StorageError, ResourceError: as `kftext.models.load`, `kftext.storage`, and when a process is killed.
    """
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(_local_model(request.model))
        predictor = models.load(source)
        output = output_of(predictor, request.results)
        files = [(str(path), size) for path, size in list_sizes(request.input)]
        question = Question(
            source,
            output,
            request.k or models.default_k(output),
            request.threshold,
        )
        asked = Asked(
            model=content_of(source).digest,
            input=content_of(request.input).digest,
            files=files,
            format=request.format.value,
            results=output.value,
            k=question.k,
            threshold=question.threshold,
        )
        folder = stack.enter_context(_parts_folder(request))
        state = State.resume(folder, asked)
        done = sum(part.lines for part in state.parts)
        if not state.complete:
            state.write(folder)  # what can't be written to fails before the first prediction
            total = sum(size for _, size in files)
            processes = request.processes or _processes(predictor, source, total)
            with Progress(total, "B", "Predicting") as progress:
                tasks = _tasks(state, request.format, progress)
                pieces = predict_all(predictor, question, tasks, processes)
                # Closed here, so that no process outlives an error in writing.
                with contextlib.closing(pieces):
                    _write_parts(pieces, state, folder, request.part_bytes, progress)
        _finish(request, state, folder)
    lines = sum(part.lines for part in state.parts)
    rejected = sum(part.rejected for part in state.parts)
    return BatchSummary(request.output, len(files), lines, rejected, done)


@contextlib.contextmanager
def _local_model(path: str) -> Iterator[Path]:
    """The file or folder of a model, fetched and unpacked where it has to be."""
    with storage.local_copy(path) as local, tempfile.TemporaryDirectory(prefix="kftext-") as name:
        if (local / ARCHIVE_NAME).is_file():
            local = local / ARCHIVE_NAME
        if local.is_file() and local.name.endswith(_ARCHIVES):
            unpack(local, Path(name, "model"))
            local = Path(name, "model")
        yield model_source(local)


def _processes(predictor: Predictor, source: Path, size: int) -> int:
    """How many processes are best for a model and so many bytes of input; a large input is worth warming up for."""
    if size < _WORTH_PROCESSES:
        return 1
    if source.is_dir():
        # A folder is a TensorFlow model. Its graph uses all cores by itself; one that does without still imports TensorFlow.
        predictor.warm_up()
        if on_tensorflow(predictor) or size < _WORTH_IMPORTS:
            return 1
    return available_cores()


@contextlib.contextmanager
def _parts_folder(request: BatchRequest) -> Iterator[str]:
    """Where parts go: the output itself, or for a file a folder that is removed once the file is there."""
    if not request.writes_file:
        yield request.output
    elif storage.is_remote(request.output):
        with tempfile.TemporaryDirectory(prefix="kftext-") as folder:
            yield folder
    else:
        folder = storage.join(request.output) + ".parts"
        yield folder
        shutil.rmtree(folder, ignore_errors=True)


def _tasks(state: State, form: InputFormat, progress: Progress) -> Iterator[Task]:
    """The lines that no part answers yet, in blocks."""
    for index, (file, _) in enumerate(state.asked.files):
        first = state.next_line(index)
        for block in read_blocks(file, on_bytes=progress.update):
            if not isinstance(block, Fault):
                skipped = max(0, first - block.number)
                if skipped < len(block.lines):
                    body = b"\n".join(block.lines[skipped:])
                    yield Task(index, block.number + skipped, body, format_of(file, form))
            elif block.severity is Severity.FATAL:
                raise block.error()
            elif block.kind is FaultKind.OVERLONG_LINE and (block.line or 0) >= first:
                yield Task(index, block.line or 0, b"", InputFormat.TEXT, block.message)


def _write_parts(
    pieces: Iterable[Piece], state: State, folder: str, part_bytes: int, progress: Progress
) -> None:
    lines, rejected = 0, 0
    for _, of_file in itertools.groupby(pieces, lambda piece: piece.file):
        rest = iter(of_file)
        for first in rest:
            part = Part(
                name=f"part-{len(state.parts):05d}.jsonl",
                file=first.file,
                first_line=first.number,
                lines=0,
                rejected=0,
            )
            with storage.open_writer(storage.join(folder, part.name)) as stream:
                size = 0
                for piece in itertools.chain([first], rest):
                    stream.write(piece.results)
                    part.lines += piece.lines
                    part.rejected += piece.rejected
                    lines, rejected = lines + piece.lines, rejected + piece.rejected
                    progress.update(0, lines=lines, rejected=rejected)
                    size += piece.size
                    if size >= part_bytes:
                        break
            state.parts.append(part)
            state.write(folder)


def _finish(request: BatchRequest, state: State, folder: str) -> None:
    """Write the rejects, and the one file where that is the output."""
    rejects = state.rejects(folder)
    first = next(rejects, None)
    if first is not None:
        path = (
            f"{storage.join(request.output)}.{REJECTS}"
            if request.writes_file
            else storage.join(folder, REJECTS)
        )
        with storage.open_writer(path) as stream:
            stream.writelines(itertools.chain([first], rejects))
    lines = sum(part.lines for part in state.parts)
    if first is not None and lines == sum(part.rejected for part in state.parts):
        fault = orjson.loads(first)
        raise DataError(
            f"none of {lines} lines can be predicted; the first: {fault['error']}",
            file=fault["file"],
            line=fault["line"],
        )
    if request.writes_file:
        with storage.open_writer(request.output) as stream:
            for part in state.parts:
                with storage.open_reader(storage.join(folder, part.name)) as results:
                    shutil.copyfileobj(results, stream, 1 << 20)
    if not state.complete:
        state.complete = True
        state.write(folder)
