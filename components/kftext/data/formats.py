"""The formats of a text data set, and what can be set about reading them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kftext.data.tokens import LABEL_PREFIX, WHITESPACE
from kftext.errors import UsageError

__all__ = ["Format", "ReadOptions"]


class Format(StrEnum):
    """Name of a format, as written on a command line and in a dataset.json."""

    CORPUS = "corpus"
    """One sentence a line, tokens separated by white space. No labels."""

    LABELED_TEXT = "labeled-text"
    """One example a line; its labels are the words that start with the label prefix, anywhere on the line."""

    MANIFEST = "manifest"
    """JSON Lines, `{"source": "text", "label": 1}`: SageMaker's augmented manifest."""

    CSV = "csv"
    """RFC 4180, no header: first column an integer class label, second column the text."""

    @property
    def has_labels(self) -> bool:
        """Whether each row carries labels."""
        return self is not Format.CORPUS

    @property
    def suffix(self) -> str:
        """Ending of a file of this format."""
        return {Format.MANIFEST: ".jsonl", Format.CSV: ".csv"}.get(self, ".txt")

    @classmethod
    def parse(cls, name: str) -> Format:
        """Return the format of that name.

        Raises:
            UsageError: for another name.
        """
        try:
            return cls(name)
        except ValueError:
            raise UsageError(
                f"data format {name!r}: expected one of {', '.join(member.value for member in cls)}"
            ) from None


@dataclass(frozen=True)
class ReadOptions:
    """What can be set about reading.

    Attributes:
        label_prefix: what a label starts with in labelled text.
        source_attribute: name of the manifest's attribute that holds the text.
        label_attribute: name of the manifest's attribute that holds the label or the list of labels.
    """

    label_prefix: str = LABEL_PREFIX
    source_attribute: str = "source"
    label_attribute: str = "label"

    def __post_init__(self):
        prefix = self.label_prefix.encode()
        if not prefix or any(character in WHITESPACE for character in prefix):
            raise UsageError(
                f"label_prefix={self.label_prefix!r}: expected a text without white space, "
                f"such as {LABEL_PREFIX}"
            )
        for name in ("source_attribute", "label_attribute"):
            if not getattr(self, name):
                raise UsageError(f"{name} is empty: expected the name of a manifest's attribute")
        if self.source_attribute == self.label_attribute:
            raise UsageError(
                f"source_attribute and label_attribute are both {self.source_attribute!r}: "
                "expected two names"
            )
