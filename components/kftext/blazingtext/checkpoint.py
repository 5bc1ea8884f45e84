"""Checkpoints: a run that is killed, and started again with the same command, goes on from the last one.

A folder or prefix holds two slots, written in turn, and `checkpoint.json`, written last, which names the slot that is complete:
a run killed at any moment leaves the earlier checkpoint intact. Matrices are little-endian float32 without a header; their
shapes follow from the run.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

from kftext import storage
from kftext.blazingtext.hogwild import EpochRecord, Hooks, Position
from kftext.blazingtext.supervised import SupervisedTraining, ValidatedTraining
from kftext.blazingtext.vocabulary import Vocabulary
from kftext.blazingtext.word2vec import Word2VecTraining
from kftext.errors import StorageError, UsageError
from kftext.hyperparameters import Hyperparameters

__all__ = ["CheckpointOptions", "Checkpoints", "Training", "describe_run", "forget"]

_INDEX = "checkpoint.json"
_SLOTS = ("a", "b")
_MATRICES = ("input", "output")
_BEST = "best"
_CHUNK_BYTES = 32 << 20

if TYPE_CHECKING:
    from kftext.blazingtext.cuda.supervised import CudaSupervisedTraining
    from kftext.blazingtext.cuda.word2vec import CudaWord2VecTraining

Training: TypeAlias = (
    "Word2VecTraining | CudaWord2VecTraining | SupervisedTraining | CudaSupervisedTraining"
)


@dataclass(frozen=True)
class CheckpointOptions:
    """Where and how often.

    Attributes:
        path: folder or prefix; on a disk that outlives the pod.
        minutes: between two checkpoints.
        epochs: a checkpoint after every so many epochs as well, where it is not None.
    """

    path: str
    minutes: float = 10.0
    epochs: int | None = None


def describe_run(
    hyperparameters: Hyperparameters, seed: int, vocabulary: Vocabulary, token_count: int
) -> dict[str, Any]:
    """Return what must be the same for a checkpoint to be of use: the command and the data."""
    digest = hashlib.sha256(b"\0".join([*vocabulary.words, b"", *vocabulary.labels]))
    digest.update(vocabulary.counts.tobytes() + vocabulary.label_counts.tobytes())
    return {
        **hyperparameters.model_dump(mode="json", exclude={"evaluation"}),
        "seed": seed,
        "tokens": token_count,
        "vocabulary": digest.hexdigest(),
    }


class Checkpoints:
    """Saves a run now and then, and restores it.

    Args:
        options: where and how often.
        run: what `describe_run` returned.
        training: the run.
    """

    def __init__(self, options: CheckpointOptions, run: dict[str, Any], training: Training):
        self._options, self._run, self._training = options, run, training
        self._slot = 0
        self._saved_at, self._saved_epoch = time.monotonic(), 0

    def restore(self) -> bool:
        """Take up the run where its last checkpoint left it; return whether there was one.

        Raises:
            UsageError: the checkpoint is of another run.
            StorageError: it can't be read, or is damaged.
        """
        index_file = storage.join(self._options.path, _INDEX)
        if not storage.exists(index_file):
            return False
        try:
            with storage.open_reader(index_file) as stream:
                index = orjson.loads(stream.read())
            if index["finished"]:
                return False
            self._check(index["run"])
            self._slot = _SLOTS.index(index["slot"])
            self._restore_numbers(index)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            raise StorageError(
                f"{index_file}: damaged ({error}): remove it to begin anew"
            ) from None
        for name in _MATRICES:
            with storage.open_reader(self._file(name)) as stream:
                _read_matrix(stream, getattr(self._training, name), self._file(name))
        if index["best"] and isinstance(self._training, ValidatedTraining):
            with storage.open_reader(self._file(_BEST)) as stream:
                self._training.best.load(stream, **index["best"])
        self._saved_epoch = self._training.position.epoch
        return True

    def _check(self, run: dict[str, Any]) -> None:
        for name, value in self._run.items():
            if run.get(name) != value:
                raise UsageError(
                    f"the checkpoint at {self._options.path} is of another run: there {name} is "
                    f"{run.get(name)!r}, here {value!r}; remove it, or name another folder"
                )

    def _restore_numbers(self, index: dict[str, Any]) -> None:
        position = self._training.position
        done = np.array(index["done"], np.bool_)
        random, totals = np.array(index["random"], np.uint64), np.array(index["totals"], np.float64)
        if done.shape != position.done.shape:
            raise ValueError(f"{done.size} slices, expected {position.done.size}")
        if len(random) != len(position.random):
            # Another number of threads: their generators begin anew, elsewhere than at the start of the run.
            random = position.random ^ random[0]
            first = np.zeros_like(position.totals)
            first[0] = totals.sum(axis=0)
            totals = first
        self._training.position = Position(int(index["epoch"]), done, random, totals)
        self._training.curve = [EpochRecord(**record) for record in index["curve"]]

    def hooks(self, hooks: Hooks) -> Hooks:
        """Add to hooks that a checkpoint is made while the threads stand still."""
        return Hooks(hooks.on_report, self.save, 60 * self._options.minutes)

    def end_of_epoch(self) -> None:
        """Save if it is time."""
        epochs = self._training.position.epoch - self._saved_epoch
        due = self._options.epochs is not None and epochs >= self._options.epochs
        if due or time.monotonic() - self._saved_at >= 60 * self._options.minutes:
            self.save()

    def save(self) -> None:
        """Write a checkpoint; it takes the place of the last one once it is complete."""
        self._slot = 1 - self._slot
        for name in _MATRICES:
            with storage.open_writer(self._file(name)) as stream:
                _write_matrix(stream, getattr(self._training, name))
        best = self._training.best if isinstance(self._training, ValidatedTraining) else None
        if best is not None and best.epoch:
            with storage.open_writer(self._file(_BEST)) as stream:
                best.copy_to(stream)
        position = self._training.position
        self._write_index(
            {
                "epoch": position.epoch,
                "done": position.done.tolist(),
                "random": position.random.tolist(),
                "totals": position.totals.tolist(),
                "curve": [asdict(record) for record in self._training.curve],
                "best": {"epoch": best.epoch, "accuracy": best.accuracy}
                if best is not None and best.epoch
                else None,
                "finished": False,
            }
        )
        self._saved_at, self._saved_epoch = time.monotonic(), position.epoch

    def _write_index(self, content: dict[str, Any]) -> None:
        with storage.open_writer(storage.join(self._options.path, _INDEX)) as stream:
            stream.write(orjson.dumps({"run": self._run, "slot": _SLOTS[self._slot], **content}))

    def _file(self, name: str) -> str:
        return _slot_file(self._options.path, _SLOTS[self._slot], name)


def _slot_file(path: str, slot: str, name: str) -> str:
    return storage.join(path, slot, f"{name}.f32")


def forget(path: str) -> None:
    """Let the next run begin anew: the model of this one is written. Gives the room of the slots back."""
    with storage.open_writer(storage.join(path, _INDEX)) as stream:
        stream.write(orjson.dumps({"finished": True}))
    for slot in _SLOTS:
        for name in (*_MATRICES, _BEST):
            file = _slot_file(path, slot, name)
            if storage.exists(file):
                with storage.open_writer(file):
                    pass


def _rows_at_a_time(matrix: npt.NDArray[np.float32]) -> int:
    return max(_CHUNK_BYTES // (4 * matrix.shape[1]), 1)


def _write_matrix(stream: BinaryIO, matrix: npt.NDArray[np.float32]) -> None:
    step = _rows_at_a_time(matrix)
    for first in range(0, len(matrix), step):
        stream.write(matrix[first : first + step].astype("<f4").tobytes())


def _read_matrix(stream: BinaryIO, matrix: npt.NDArray[np.float32], file: str) -> None:
    step = _rows_at_a_time(matrix)
    for first in range(0, len(matrix), step):
        rows = matrix[first : first + step]
        content = _read_fully(stream, 4 * rows.size)
        if len(content) < 4 * rows.size:
            raise StorageError(f"{file}: shorter than the matrix that it should hold")
        rows[:] = np.frombuffer(content, "<f4").reshape(rows.shape)


def _read_fully(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
