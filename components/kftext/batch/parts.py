"""What a run leaves: parts in order, each complete or absent, and batch.json, which says what they are.

::

    results/
        batch.json             what was asked, which lines each part answers, and whether all are there
        part-00000.jsonl       a line for each line of the input, in the same order
        part-00001.jsonl
        rejects.jsonl          {"file": "...", "line": 17, "error": "..."} for each line at fault, if there are any

A part answers lines of one file. batch.json is written after each part, so that a later run goes on behind the last one.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from kftext import storage
from kftext.errors import UsageError

__all__ = ["REJECTS", "STATE", "Asked", "Part", "State"]

STATE = "batch.json"
REJECTS = "rejects.jsonl"
_ERROR = b'{"error":'
_VERSION = 1


class Asked(BaseModel):
    """What the results depend on: a run goes on with another's parts only where all of it is the same.

    Attributes:
        model: digest of the model's files.
        input: digest of the input: the content of local files, the ETags of objects.
        files: the input's files, and how many bytes each holds as stored.
        format: name of the input format.
        results: name of what is written of each line.
        k: labels or neighbours, where a line doesn't say.
        threshold: smallest probability of a label.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    input: str
    files: list[tuple[str, int]]
    format: str
    results: str
    k: int
    threshold: float


class Part(BaseModel):
    """One file of results.

    Attributes:
        name: of the file in the folder.
        file: index into the input's files.
        first_line: 1-based number of the first line it answers.
        lines: how many it answers.
        rejected: how many of these are errors.
    """

    name: str
    file: int
    first_line: int
    lines: int
    rejected: int


class State(BaseModel):
    """The content of batch.json."""

    version: int = _VERSION
    asked: Asked
    parts: list[Part] = []
    complete: bool = False

    @classmethod
    def resume(cls, folder: str, asked: Asked) -> State:
        """Return what an earlier run left in a folder, or a new state.

        Raises:
            UsageError: the folder holds results of something else.
            StorageError: batch.json can't be read.
        """
        path = storage.join(folder, STATE)
        if not storage.exists(path):
            return cls(asked=asked)
        with storage.open_reader(path) as stream:
            content = stream.read()
        try:
            found = cls.model_validate_json(content)
        except ValidationError:
            raise UsageError(
                f"{path}: not the state of a batch transform: choose another --output"
            ) from None
        before, now = found.asked.model_dump(), asked.model_dump()
        for name, value in now.items():
            if before[name] != value:
                of_input = name in ("input", "files")
                change = "" if of_input else f" ({before[name]!r}, now {value!r})"
                raise UsageError(
                    f"{folder} holds results for another {'input' if of_input else name}{change}: "
                    "choose another --output, or remove it"
                )
        return found

    def write(self, folder: str) -> None:
        """Write batch.json, complete or not at all."""
        content = orjson.dumps(self.model_dump(), option=orjson.OPT_INDENT_2) + b"\n"
        with storage.open_writer(storage.join(folder, STATE)) as stream:
            stream.write(content)

    def next_line(self, file: int) -> int:
        """Return the 1-based number of the first line of a file that no part answers."""
        return 1 + sum(part.lines for part in self.parts if part.file == file)

    def rejects(self, folder: str) -> Iterator[bytes]:
        """Yield a line of JSON for each rejected line, in order; reads only parts that hold some."""
        for part in self.parts:
            if not part.rejected:
                continue
            with storage.open_reader(storage.join(folder, part.name)) as stream:
                for number, line in enumerate(stream, part.first_line):
                    if line.startswith(_ERROR):
                        file = self.asked.files[part.file][0]
                        reject = {"file": file, "line": number, **orjson.loads(line)}
                        yield orjson.dumps(reject) + b"\n"
