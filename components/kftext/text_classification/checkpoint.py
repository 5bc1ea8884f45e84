"""Checkpoints: a training that is killed, and started again with the same command, goes on from its last whole epoch.

One file, `training.npz`, that is replaced as a whole: killed at any moment, the earlier one is intact.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from kftext import storage
from kftext.errors import StorageError, UsageError

__all__ = ["Checkpoint", "Progress"]

_FILE = "training.npz"
_ABOUT = "about"

Arrays = list[npt.NDArray[Any]]


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        epoch: whole epochs done.
        curve: one record an epoch.
        best_epoch: the epoch whose weights are kept, from 1; 0 before there is one.
        best_accuracy: its validation accuracy.
        waited: epochs since validation accuracy last rose enough for early stopping.
        stopping_accuracy: the accuracy that it has to exceed.
        best: the weights of that epoch.
    """

    epoch: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best_accuracy: float = -1.0
    waited: int = 0
    stopping_accuracy: float = -1.0
    best: Arrays = field(default_factory=list)


_NUMBERS = ("epoch", "curve", "best_epoch", "best_accuracy", "waited", "stopping_accuracy")


class Checkpoint:
    """The checkpoint of one run.

    Args:
        folder: where it lies, local or s3://; on a disk that outlives the pod.
        run: what must be the same for it to be of use: hyperparameters, data, encoder.
    """

    def __init__(self, folder: str, run: Mapping[str, Any]):
        self._file = storage.join(folder, _FILE)
        self._run = dict(run)

    def save(self, progress: Progress, state: Sequence[npt.NDArray[Any]]) -> None:
        """Write it.

        Args:
            progress: how far training is.
            state: the values of all variables, in a fixed order.
        """
        about = {name: getattr(progress, name) for name in _NUMBERS} | {"run": self._run}
        arrays = {f"state{index:05}": value for index, value in enumerate(state)}
        arrays |= {f"best{index:05}": value for index, value in enumerate(progress.best)}
        arrays[_ABOUT] = np.frombuffer(orjson.dumps(about), dtype=np.uint8)
        with storage.open_writer(self._file) as stream, zipfile.ZipFile(stream, "w") as archive:
            for name, value in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asarray(value), allow_pickle=False)

    def restore(self) -> tuple[Progress, Arrays] | None:
        """Read it; None where there is none.

        Raises:
            UsageError: it is of another run.
            StorageError: it is damaged.
        """
        if not storage.exists(self._file):
            return None
        with storage.local_copy(self._file) as path:
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    about = orjson.loads(arrays[_ABOUT].tobytes())
                    self._check(about.pop("run"))
                    names = sorted(arrays.files)
                    state = [arrays[name] for name in names if name.startswith("state")]
                    best = [arrays[name] for name in names if name.startswith("best")]
                    return Progress(**about, best=best), state
            except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
                if isinstance(error, UsageError):
                    raise
                raise StorageError(
                    f"{self._file}: damaged ({error}): remove it to begin anew"
                ) from None

    def _check(self, run: Mapping[str, Any]) -> None:
        for name, value in self._run.items():
            if run.get(name) != value:
                raise UsageError(
                    f"{self._file} is of another run: there {name} is {run.get(name)!r}, here it is {value!r}; "
                    "remove it, or name another checkpoint"
                )
