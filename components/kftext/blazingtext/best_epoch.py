"""The best epoch's weights, for early stopping."""

from __future__ import annotations

import functools
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from kftext.blazingtext.encoded import Int64Array
from kftext.blazingtext.kernels.state import Weights

__all__ = ["BestEpoch"]

_COPIED_FLOATS = 1 << 21


class BestEpoch:
    """Keeps the weights of the best epoch so far, in a file: a second copy in memory could double what training needs.

    Only the rows that training changes are kept: of two million buckets, a small text uses few.

    Args:
        used_rows: returns int64[n], the rows of the input matrix that training changes.
        folder: where the file is; it has no name.

    Attributes:
        epoch: the best one, 0 for none yet.
        accuracy: what it reached.
    """

    def __init__(self, used_rows: Callable[[], Int64Array], folder: Path | None = None):
        self.epoch, self.accuracy = 0, float("-inf")
        self._used_rows, self._folder = functools.cache(used_rows), folder
        self._file: IO[bytes] | None = None

    def offer(self, epoch: int, accuracy: float, weights: Weights) -> None:
        """Keep the weights if the epoch is better than those before."""
        if accuracy <= self.accuracy:
            return
        self.epoch, self.accuracy = epoch, accuracy
        file = self._rewound()
        matrix = weights.input.reshape(-1, weights.stride)
        for rows in self._parts(weights.stride):
            file.write(matrix[rows].data)
        file.write(weights.output.data)

    def _parts(self, stride: int) -> Iterator[Int64Array]:
        """Yield the used rows, so many at a time that a copy of them needs little memory."""
        used, step = self._used_rows(), max(_COPIED_FLOATS // stride, 1)
        for first in range(0, len(used), step):
            yield used[first : first + step]

    def _rewound(self) -> IO[bytes]:
        if self._file is None:
            # Open for as long as this object lives: no context manager fits.
            self._file = tempfile.TemporaryFile(  # noqa: SIM115
                dir=self._folder, prefix="kftext-best-epoch-"
            )
            # A run that is given up leaves no open file.
            weakref.finalize(self, self._file.close)
        self._file.seek(0)
        return self._file

    def restore(self, weights: Weights, epoch: int) -> None:
        """Put the best epoch's weights back, unless they are there: `epoch` says which epoch's are. The file is gone then."""
        if self._file is None:
            return
        with self._file as file:
            if epoch != self.epoch:
                file.seek(0)
                matrix = weights.input.reshape(-1, weights.stride)
                for rows in self._parts(weights.stride):
                    content = file.read(4 * len(rows) * weights.stride)
                    matrix[rows] = np.frombuffer(content, np.float32).reshape(len(rows), -1)
                weights.output[:] = np.frombuffer(file.read(weights.output.nbytes), np.float32)
        self._file = None

    def copy_to(self, target: IO[bytes]) -> None:
        """Write the best epoch's weights to a stream, for a checkpoint."""
        if self._file is not None:
            self._file.seek(0)
            shutil.copyfileobj(self._file, target, 1 << 20)

    def load(self, source: IO[bytes], *, epoch: int, accuracy: float) -> None:
        """Take up what `copy_to` wrote."""
        self.epoch, self.accuracy = epoch, accuracy
        shutil.copyfileobj(source, self._rewound(), 1 << 20)
