"""What a local run shows: the steps' own lines and each step's state, without kfp's dumps of what it was given."""

from __future__ import annotations

import io
import re
from typing import TextIO

__all__ = ["BriefOutput"]

_EXECUTOR = re.compile(r"^ *\[KFP Executor [^]]*\]: ")
_DROPPED = ("Looking for component", "Loading KFP component", "Wrote executor output file")
_INPUT_START, _INPUT_END = "Got executor_input:", "    }"
_OUTPUTS_START = re.compile(r" - INFO - Task .* outputs:$")
_NOISE = re.compile(r" - INFO - (Task .* has no outputs|Streamed logs:)$")


class BriefOutput(io.TextIOBase):
    """A text stream that passes lines on to another and leaves out what only someone who debugs kfp reads.

    kfp prints the whole JSON of each step's inputs and outputs around its output; a run of four steps is 400 lines of it.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._line = ""
        self._in_input = self._in_outputs = False

    def write(self, text: str) -> int:
        """Take text in any pieces; a line is judged when it is whole."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            if not self._is_dropped(line):
                self._stream.write(_EXECUTOR.sub("    ", line) + "\n")
        self._stream.flush()
        return len(text)

    def _is_dropped(self, line: str) -> bool:
        if self._in_input:
            self._in_input = line != _INPUT_END
            return True
        # What follows a step's outputs starts at the left edge.
        self._in_outputs = self._in_outputs and line.startswith(" ")
        if self._in_outputs:
            return True
        if _EXECUTOR.match(line):
            message = _EXECUTOR.sub("", line)
            self._in_input = message.startswith(_INPUT_START)
            return self._in_input or message.startswith(_DROPPED)
        self._in_outputs = bool(_OUTPUTS_START.search(line))
        return self._in_outputs or not line.strip() or bool(_NOISE.search(line))

    def flush(self) -> None:
        """Pass the flush on; an unfinished line waits."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Say what the stream below is."""
        return self._stream.isatty()
