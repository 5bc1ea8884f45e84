"""Collects faults: the first few of each kind, and how many there were."""

from __future__ import annotations

from collections import Counter

from kftext.data.rows import Fault, FaultKind, Severity

__all__ = ["FaultLog"]

_KEPT_CONTENT = 300


class FaultLog:
    """Faults by kind.

    Args:
        examples: how many of each kind are kept; all are counted.

    Attributes:
        counts: number of faults of each kind.
        examples: the first of each kind, in the order they were found; their content is cut short.
        first: the first fault that is no warning, or None.
    """

    def __init__(self, examples: int):
        self._limit = examples
        self.counts: Counter[FaultKind] = Counter()
        self.examples: dict[FaultKind, list[Fault]] = {}
        self.first: Fault | None = None

    def add(self, fault: Fault, times: int = 1) -> None:
        """Count a fault; `times` where one message stands for several."""
        self.counts[fault.kind] += times
        kept = self.examples.setdefault(fault.kind, [])
        if len(kept) < self._limit:
            kept.append(fault._replace(content=fault.content[:_KEPT_CONTENT]))
        if self.first is None and fault.severity is not Severity.WARNING:
            self.first = fault

    def total(self, severity: Severity) -> int:
        """Number of faults of that severity."""
        return sum(count for kind, count in self.counts.items() if kind.severity is severity)

    def summary(self, *severities: Severity) -> str:
        """How many of each kind, the most frequent first: "3 unlabeled, 1 no-text"."""
        return ", ".join(
            f"{count:,} {kind.value}"
            for kind, count in self.counts.most_common()
            if kind.severity in severities
        )
