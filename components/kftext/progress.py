"""Progress of long work: a bar on a terminal, plain lines with a rate and a time left everywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

from tqdm import tqdm

__all__ = ["Progress"]


class Progress:
    """Counts work done and shows it, at most every `interval` seconds where there is no terminal.

    Args:
        total: how much there is to do, or None when that is not known.
        unit: what is counted ("rows", "words", "B").
        description: what is being done.
        interval: seconds between two lines where the output is no terminal (a pod's log).
        stream: where to write; stderr by default, so that a command's answer on stdout stays clean.
    """

    def __init__(
        self,
        total: int | None,
        unit: str,
        description: str,
        *,
        interval: float = 5.0,
        stream: TextIO | None = None,
    ):
        self.total, self.unit, self.description, self.interval = total, unit, description, interval
        self.count = 0
        self._stream = stream or sys.stderr
        self._note = ""
        self._start = self._last = time.monotonic()
        self._bar = (
            tqdm(
                total=total,
                unit=unit,
                desc=description,
                unit_scale=True,
                file=self._stream,
                leave=True,
            )
            if self._stream.isatty()
            else None
        )

    def update(self, amount: int = 1, **notes: object) -> None:
        """Count `amount` more; `notes` (loss=0.43) stand behind the rate."""
        self.count += amount
        if notes:
            self._note = ", ".join(f"{name}={value}" for name, value in notes.items())
        if self._bar is not None:
            if notes:
                self._bar.set_postfix_str(self._note, refresh=False)
            self._bar.update(amount)
        elif time.monotonic() - self._last >= self.interval:
            self._line()

    def _line(self) -> None:
        self._last = time.monotonic()
        meter = tqdm.format_meter(
            self.count,
            self.total,  # type: ignore[arg-type]  # None is meant: the published types forget it
            self._last - self._start,
            prefix=self.description,
            unit=self.unit,
            unit_scale=True,
            bar_format=None
            if self.total is None
            else "{desc}: {percentage:3.0f}% {n_fmt}/{total_fmt} "
            "[{elapsed}<{remaining}, {rate_fmt}{postfix}]",
            postfix=self._note or None,
        )
        self._stream.write(meter + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Show the final count once."""
        if self._bar is not None:
            self._bar.close()
        else:
            self._line()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
