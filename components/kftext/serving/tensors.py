"""Open Inference (V2) tensors, apart from how they travel: the input that a model takes, and the outputs it gives.

Input: one BYTES tensor of shape [n] or [n, 1] with UTF-8 texts or words. Request parameters: `k`, `threshold`, `output`.
Outputs, with n instances and k labels or neighbours:

=================== =============================================================================
labels              `label` BYTES [n, k], `prob` FP32 [n, k]; places below the threshold are "" and 0
vectors             `vector` FP32 [n, dim]
sentence_vectors    `vector` FP32 [n, dim]
nearest_neighbors   `neighbor` BYTES [n, k], `similarity` FP32 [n, k]
=================== =============================================================================
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from kftext.errors import UsageError
from kftext.models import Answer, Output, Prediction, Predictor
from kftext.serving.body import check_count
from kftext.serving.messages import RequestError
from kftext.serving.query import Query, default_output, read_configuration

__all__ = [
    "OUTPUT_TENSORS",
    "PARAMETERS",
    "Tensor",
    "check_input",
    "metadata",
    "pack_bytes",
    "read_query",
    "select",
    "tensors",
    "unpack_bytes",
]

INPUT = "text"
OUTPUT_TENSORS = ("label", "prob", "vector", "neighbor", "similarity")
PARAMETERS = ("k", "threshold", "output")


@dataclass(frozen=True, slots=True)
class Tensor:
    """An output: BYTES as a flat list of strings, FP32 as a flat float32 array, both in row-major order."""

    name: str
    datatype: str
    shape: tuple[int, int]
    data: list[str] | npt.NDArray[np.float32]

    def raw(self) -> bytes:
        """The tensor in the binary representation: little-endian floats; strings each behind a 4-byte length."""
        if isinstance(self.data, list):
            return pack_bytes(self.data)
        return self.data.astype("<f4").tobytes()


def metadata(predictor: Predictor) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Inputs and outputs as V2 metadata describes them; -1 stands for a size that requests choose."""
    inputs: list[dict[str, object]] = [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}]
    if default_output(predictor) is Output.LABELS:
        outputs: list[dict[str, object]] = [
            {"name": "label", "datatype": "BYTES", "shape": [-1, -1]},
            {"name": "prob", "datatype": "FP32", "shape": [-1, -1]},
        ]
    else:
        outputs = [{"name": "vector", "datatype": "FP32", "shape": [-1, predictor.dim]}]
    return inputs, outputs


def check_input(
    names: Sequence[str], datatype: str, shape: Sequence[int], max_instances: int
) -> int:
    """Check the one input's description and return how many instances it says there are.

    Raises:
        RequestError: 400 or 413.
    """
    expected = f"expected one BYTES tensor named '{INPUT}' of shape [n] or [n, 1]"
    if len(names) != 1:
        raise RequestError(400, f"inputs: {len(names)} tensors; {expected}")
    if datatype != "BYTES":
        raise RequestError(400, f"inputs[0].datatype: {expected}")
    if not 1 <= len(shape) <= 2 or (len(shape) == 2 and shape[1] != 1) or shape[0] < 0:
        raise RequestError(400, f"inputs[0].shape: {expected}")
    check_count(shape[0], "inputs[0]", max_instances)
    return shape[0]


def read_query(
    predictor: Predictor, parameters: Mapping[str, object], texts: list[str], count: int
) -> Query:
    """Build the query once the texts were read; parameters of other names belong to other servers and are passed over."""
    if len(texts) != count:
        raise RequestError(
            400, f"inputs[0]: the shape says {count} elements, the data holds {len(texts)}"
        )
    known = {name: parameters[name] for name in PARAMETERS if name in parameters}
    try:
        return read_configuration(predictor, known, texts)
    except UsageError as error:
        raise RequestError(400, f"parameters.{error}") from None


def tensors(query: Query, answer: Answer) -> list[Tensor]:
    """An answer as output tensors."""
    if isinstance(answer, np.ndarray):
        return [Tensor("vector", "FP32", answer.shape, answer.reshape(-1))]
    if query.output is Output.LABELS:
        predictions = cast("Sequence[Prediction]", answer)
        rows = [(one.labels, one.probabilities) for one in predictions]
        return _ranked("label", "prob", rows, query.k)
    neighbors = cast("Sequence[list[tuple[str, float]]]", answer)
    rows = [([word for word, _ in row], [cosine for _, cosine in row]) for row in neighbors]
    return _ranked("neighbor", "similarity", rows, query.k)


def _ranked(
    names: str, values: str, rows: Sequence[tuple[Sequence[str], Sequence[float]]], k: int
) -> list[Tensor]:
    """Ranked lists as two tensors [n, k]; a shorter list is filled with "" and 0, since tensors are rectangular."""
    strings: list[str] = []
    numbers = np.zeros((len(rows), k), np.float32)
    for row, (row_names, row_values) in enumerate(rows):
        strings.extend(row_names)
        strings.extend([""] * (k - len(row_names)))
        numbers[row, : len(row_values)] = row_values
    shape = (len(rows), k)
    return [
        Tensor(names, "BYTES", shape, strings),
        Tensor(values, "FP32", shape, numbers.reshape(-1)),
    ]


def select(outputs: list[Tensor], names: Sequence[str]) -> list[Tensor]:
    """The outputs that the request names, in its order; all of them when it names none.

    Raises:
        RequestError: 400 for a name that the model doesn't have.
    """
    if not names:
        return outputs
    by_name = {tensor.name: tensor for tensor in outputs}
    for name in names:
        if name not in by_name:
            raise RequestError(400, f"outputs: expected names among {', '.join(by_name)}")
    return [by_name[name] for name in names]


def unpack_bytes(raw: bytes, expected: int) -> list[str]:
    """Read a BYTES tensor's binary representation: 4-byte little-endian length, then the bytes, for each element.

    Raises:
        RequestError: 400: it does not hold `expected` elements of valid UTF-8.
    """
    texts: list[str] = []
    offset = 0
    while offset < len(raw):
        end = offset + 4
        if end <= len(raw):
            end += struct.unpack_from("<I", raw, offset)[0]
        if end > len(raw) or len(texts) == expected:
            raise RequestError(
                400,
                f"inputs[0]: expected {expected} elements, each a 4-byte little-endian length and so many bytes;"
                f" element {len(texts)} is not",
            )
        texts.append(decode_utf8(raw[offset + 4 : end], len(texts)))
        offset = end
    return texts


def decode_utf8(content: bytes, index: int) -> str:
    """Decode one element.

    Raises:
        RequestError: 400 naming the element.
    """
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise RequestError(400, f"inputs[0].data[{index}]: not UTF-8") from None


def pack_bytes(strings: Sequence[str]) -> bytes:
    """The inverse of `unpack_bytes`."""
    parts: list[bytes] = []
    for string in strings:
        content = string.encode()
        parts += (struct.pack("<I", len(content)), content)
    return b"".join(parts)
