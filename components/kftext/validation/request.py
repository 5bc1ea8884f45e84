"""What to validate, and how."""

from __future__ import annotations

from dataclasses import dataclass, field

from kftext.data.formats import Format, ReadOptions
from kftext.errors import UsageError
from kftext.validation.split import Splitter

__all__ = ["ValidationRequest"]


@dataclass(frozen=True)
class ValidationRequest:
    """A data set to validate.

    Attributes:
        data: path or URI of the training data: a file, or a folder or prefix of files.
        format: of the data.
        validation_data: the same for the validation data, or None.
        report: where to write the HTML report, or None.
        json: where to write the report as JSON, or None.
        output: folder or prefix to write the Dataset to, or None. Not written when validation fails.
        max_error_fraction: the share of lines of a part that may be at fault; they are then left out, and written to the
            Dataset's rejects file.
        validation_split_ratio: the share of distinct texts to split off for validation where there is no validation data.
        seed: of the split.
        options: label prefix and names of attributes.
        examples: how many faults of each kind are shown.
        texts_in_memory: how many texts are compared in memory; more are spilled to temporary files.

    Raises:
        UsageError: for values that make no sense.
    """

    data: str
    format: Format
    validation_data: str | None = None
    report: str | None = None
    json: str | None = None
    output: str | None = None
    max_error_fraction: float = 0.0
    validation_split_ratio: float = 0.0
    seed: int = 0
    options: ReadOptions = field(default_factory=ReadOptions)
    examples: int = 10
    texts_in_memory: int = 1 << 20

    def __post_init__(self):
        if not self.data:
            raise UsageError("data is empty: expected a path or URI")
        if not 0 <= self.max_error_fraction <= 1:
            raise UsageError(
                f"max_error_fraction={self.max_error_fraction}: expected a number from 0 to 1"
            )
        if self.examples < 1 or self.texts_in_memory < 1:
            raise UsageError(
                f"examples={self.examples}, texts_in_memory={self.texts_in_memory}: expected integers > 0"
            )
        Splitter(self.validation_split_ratio, self.seed)

    def splitter(self) -> Splitter | None:
        """Return what splits rows off for validation, or None where nothing does."""
        if self.validation_data or not self.validation_split_ratio:
            return None
        return Splitter(self.validation_split_ratio, self.seed)
