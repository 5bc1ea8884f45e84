"""Reading the safetensors format: eight bytes with the length of a JSON header, the header, the numbers.

The header names each tensor's type, shape and place (https://huggingface.co/docs/safetensors). Each size that a file states is
checked against what the file holds before it is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from kftext.errors import ModelFormatError, StorageError

__all__ = ["SafeTensors"]

_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_LARGEST_HEADER = 100 << 20


class SafeTensors(Mapping[str, npt.NDArray[np.float32]]):
    """The floating-point tensors of a file, by name; each is read when it is asked for, as float32.

    Args:
        path: a local file.

    Raises:
        StorageError: it can't be read.
        ModelFormatError: it is no such file, or a damaged one.
    """

    def __init__(self, path: Path):
        self._path = path
        try:
            size = path.stat().st_size
            if size < 8:
                raise ModelFormatError(f"{path}: not a safetensors file: {size} bytes")
            self._bytes = np.memmap(path, np.uint8, "r")
        except OSError as error:
            raise StorageError(f"{path}: can't be read: {error.strerror}") from None
        length = int.from_bytes(self._bytes[:8].tobytes(), "little")
        if length > min(size - 8, _LARGEST_HEADER):
            raise ModelFormatError(
                f"{path}: not a safetensors file, or cut short: a header of {length} bytes in a file of {size}"
            )
        self._start = 8 + length
        self._header = self._read_header(self._bytes[8 : self._start].tobytes(), size)

    def _read_header(self, content: bytes, size: int) -> dict[str, Any]:
        try:
            header = orjson.loads(content)
            header.pop("__metadata__", None)
            for name, entry in header.items():
                first, last = entry["data_offsets"]
                width = np.dtype(_TYPES.get(entry["dtype"], "u1")).itemsize
                expected = math.prod(entry["shape"]) * width
                known = entry["dtype"] in _TYPES
                if not 0 <= first <= last <= size - self._start or (
                    known and last - first != expected
                ):
                    raise ModelFormatError(
                        f"{self._path}: tensor {name!r} of shape {entry['shape']} lies at bytes {first} to {last}, "
                        "which does not fit"
                    )
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelFormatError(f"{self._path}: damaged header: {error}") from None
        return dict(header)

    def __getitem__(self, name: str) -> npt.NDArray[np.float32]:
        entry = self._header[name]
        if entry["dtype"] not in _TYPES:
            raise ModelFormatError(
                f"{self._path}: tensor {name!r} is of type {entry['dtype']}: expected one of {', '.join(_TYPES)}"
            )
        first, last = (self._start + offset for offset in entry["data_offsets"])
        values = np.frombuffer(self._bytes[first:last].tobytes(), _TYPES[entry["dtype"]])
        if entry["dtype"] == "BF16":
            # The upper half of a float32.
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32).reshape(entry["shape"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._header)

    def __len__(self) -> int:
        return len(self._header)
