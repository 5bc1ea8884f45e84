"""What a pretrained encoder that is served as it is has in common, whatever computes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["TextEncoder"]


class TextEncoder(ABC):
    """Texts in, embeddings out. Any number of threads may use one at once."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Size of an embedding."""

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return float32[texts, dim].

        Raises:
            ModelFormatError: the model's numbers are not finite.
            ResourceError: not enough memory.
        """

    @abstractmethod
    def warm_up(self) -> bool:
        """Prepare all that a first call would have to; a server calls it once, before the first request."""
