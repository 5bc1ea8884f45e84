"""Splits rows off for validation by a hash of their text: streaming, repeatable, and equal texts stay on one side."""

from __future__ import annotations

import hashlib

from kftext.errors import UsageError

__all__ = ["Splitter"]


class Splitter:
    """Decides for each text which side it is on; the decision depends on nothing but seed, ratio and text.

    A text that is on the validation side for one ratio is there for each larger ratio too.

    Args:
        ratio: the share of distinct texts to split off, 0 <= ratio < 1.
        seed: another seed gives another split.

    Raises:
        UsageError: for a ratio outside that range.
    """

    def __init__(self, ratio: float, seed: int):
        if not 0 <= ratio < 1:
            raise UsageError(f"validation_split_ratio={ratio}: expected a number >= 0 and < 1")
        self._bound = int(ratio * 2**64)
        self._start = hashlib.blake2b(digest_size=8, key=str(seed).encode())

    def is_validation(self, text: str) -> bool:
        """Tell whether rows with this text are split off."""
        state = self._start.copy()
        state.update(text.encode())
        return int.from_bytes(state.digest()) < self._bound
