"""What a training step reads: texts, tokenized texts, or embeddings; each row can be had at once, and none need fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from kftext.progress import Progress
from kftext.text_classification.encoder import Encoder
from kftext.text_classification.examples import Examples

__all__ = ["Dense", "Inputs", "Ragged", "Texts", "embed_all", "make_inputs", "plan_batches"]

Rows = npt.NDArray[np.int64]

_AT_ONCE = 512
"""Texts that are tokenized in one call."""

_EMBEDDED_AT_ONCE = 32
"""Texts that are embedded in one call: of more, what lies between a transformer's layers no longer fits a core's cache."""

_FEW_LENGTHS = 16

_POOL = 64
"""Batches whose examples are sorted by length together: enough that little is padded, few enough that order stays random."""


class Inputs(Protocol):
    """The inputs of all examples."""

    @property
    def lengths(self) -> npt.NDArray[np.int64] | None:
        """Columns that each row needs; None where all need the same."""
        ...

    def batch(self, rows: Rows) -> Any:
        """Return the inputs of some rows: an array, or arrays by name."""
        ...

    def signature(self) -> Any:
        """Return TensorFlow's description of a batch."""
        ...


@dataclass(frozen=True)
class Texts:
    """Inputs of an encoder that takes texts as they are."""

    examples: Examples
    lengths: npt.NDArray[np.int64] | None = None

    def batch(self, rows: Rows) -> dict[str, Any]:
        """Return string[n] under the name "text"."""
        return {"text": np.array(self.examples.text(rows), dtype=object)}

    def signature(self) -> dict[str, tf.TensorSpec]:
        """Return TensorFlow's description of a batch."""
        return {"text": tf.TensorSpec([None], tf.string)}


@dataclass(frozen=True)
class Ragged:
    """Tokenized texts: a row holds what is left of its features once columns of zeros at its end are cut.

    Attributes:
        values: of each feature, all rows one after the other; maps of files.
        offsets: int64[rows + 1], where each row starts.
        multiple: a batch's columns are a multiple of it, or as many as the longest row's, so that batches come in few shapes.
    """

    values: Mapping[str, npt.NDArray[Any]]
    offsets: npt.NDArray[np.int64]
    multiple: int = 1

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Columns that each row needs."""
        return np.diff(self.offsets)

    def batch(self, rows: Rows) -> dict[str, npt.NDArray[Any]]:
        """Return [n, columns] by name, zeros behind each row's end."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        columns = int(lengths.max(initial=1))
        if self.multiple > 1:
            rounded = -(-columns // self.multiple) * self.multiple
            columns = min(rounded, max(columns, int(self.lengths.max())))
        inside = np.arange(columns) < lengths[:, None]
        source = (starts[:, None] + np.arange(columns))[inside]
        batch = {}
        for name, values in self.values.items():
            padded = np.zeros((len(rows), columns), dtype=values.dtype)
            padded[inside] = values[source]
            batch[name] = padded
        return batch

    def signature(self) -> dict[str, tf.TensorSpec]:
        """Return TensorFlow's description of a batch."""
        return {
            name: tf.TensorSpec([None, None], values.dtype) for name, values in self.values.items()
        }


@dataclass(frozen=True)
class Dense:
    """Embeddings that were computed ahead: float32[rows, dim], an array or a map of a file."""

    embeddings: npt.NDArray[np.float32]
    lengths: npt.NDArray[np.int64] | None = None

    def batch(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Return float32[n, dim]."""
        return self.embeddings[rows]

    def signature(self) -> tf.TensorSpec:
        """Return TensorFlow's description of a batch."""
        return tf.TensorSpec([None, self.embeddings.shape[1]], tf.float32)


def make_inputs(
    encoder: Encoder, examples: Examples, work_dir: Path, name: str, *, few_lengths: bool = False
) -> Texts | Ragged:
    """Tokenize all examples, once for the whole training, where the encoder's tokenization can be had apart.

    Args:
        encoder: the encoder.
        examples: the rows.
        work_dir: folder for the files that hold the features.
        name: start of those files' names.
        few_lengths: whether batches come in few shapes, because a graph is compiled for each.
    """
    if not encoder.tokenizes:
        return Texts(examples)
    lengths: list[npt.NDArray[np.int64]] = []
    files: dict[str, Path] = {}
    types: dict[str, np.dtype[Any]] = {}
    with Progress(len(examples), "texts", f"Tokenizing the {name} data") as progress:
        for rows in _chunks(len(examples)):
            features = encoder.features(examples.text(rows))
            filled = np.any([value != 0 for value in features.values()], axis=0)
            columns = filled.shape[1]
            # One behind the last column that is filled.
            ends = (filled * np.arange(1, columns + 1)).max(axis=1, initial=0).astype(np.int64)
            inside = np.arange(columns) < ends[:, None]
            lengths.append(ends)
            for key, value in features.items():
                path = files.setdefault(key, work_dir / f"{name}-{key}")
                types[key] = value.dtype
                with path.open("ab") as file:
                    file.write(np.ascontiguousarray(value[inside]).data)
            progress.update(len(rows))
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)
    values = {key: _map(path, types[key]) for key, path in files.items()}
    return Ragged(values, offsets, _FEW_LENGTHS if few_lengths else 1)


def _map(path: Path, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    # An empty file can't be mapped: none of the texts has a known word.
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)


def _chunks(count: int) -> Iterator[Rows]:
    for start in range(0, count, _AT_ONCE):
        yield np.arange(start, min(start + _AT_ONCE, count))


def embed_all(
    encoder: Encoder, inputs: Texts | Ragged, count: int, path: Path
) -> npt.NDArray[np.float32]:
    """Compute the embeddings of all rows, in order of length so that little is padded.

    Args:
        encoder: the encoder.
        inputs: its inputs.
        count: how many rows.
        path: the .npy file to fill.

    Returns:
        float32[rows, dim], a map of the file.
    """
    result = np.lib.format.open_memmap(path, "w+", np.float32, (count, encoder.dim))
    embed = tf.function(
        lambda batch: encoder.embed(batch, training=False), input_signature=[inputs.signature()]
    )
    with Progress(count, "texts", "Embedding") as progress:
        for rows in plan_batches(inputs.lengths, np.arange(count), _EMBEDDED_AT_ONCE):
            result[rows] = embed(inputs.batch(rows)).numpy()
            progress.update(len(rows))
    result.flush()
    return np.load(path, mmap_mode="r")


def plan_batches(
    lengths: npt.NDArray[np.int64] | None,
    rows: Rows,
    batch_size: int,
    random: np.random.Generator | None = None,
) -> list[Rows]:
    """Cut rows into batches of rows of about the same length.

    Args:
        lengths: int64[all rows], or None where length does not matter.
        rows: int64[n], which rows to take.
        batch_size: rows in a batch; the last may have fewer.
        random: for training: order is random, but within pools of batches. None: all rows by length.
    """
    if random is not None:
        rows = random.permutation(rows)
    if lengths is not None:
        pool = batch_size * _POOL if random is not None else len(rows)
        pools = [rows[start : start + pool] for start in range(0, len(rows), max(pool, 1))]
        rows = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in pools])
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    if random is not None and lengths is not None:
        batches = [batches[index] for index in random.permutation(len(batches))]
    return batches


def dataset(
    inputs: Inputs,
    labels: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float32],
    batches: Callable[[], list[Rows]],
) -> tf.data.Dataset:
    """Return (inputs, label index, weight) a batch, made ahead of the step that takes it.

    Args:
        inputs: of all rows.
        labels: int32[rows].
        weights: float32[rows].
        batches: called at the start of each pass.
    """

    def generate() -> Iterator[tuple[Any, Any, Any]]:
        for rows in batches():
            yield inputs.batch(rows), labels[rows], weights[rows]

    signature = (
        inputs.signature(),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None], tf.float32),
    )
    return tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(4)
