"""Sets of word pairs that people scored for similarity (WS-353, SimLex-999 and their like)."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kftext import storage
from kftext.errors import DataError

__all__ = ["WordPairs", "find_word_pairs", "installed_word_pairs", "read_word_pairs"]

WS_353_NAME = "EN-WS-353-ALL.txt"
"""The name of the full WS-353 in eval.json, as the reference writes it."""


@dataclass(frozen=True)
class WordPairs:
    """A named set of (first word, second word, human score) triples."""

    name: str
    pairs: tuple[tuple[str, str, float], ...]


def read_word_pairs(path: str | os.PathLike[str], name: str | None = None) -> WordPairs:
    """Read a set: a pair a line, two words and a score apart by tabs, commas or spaces; `#` starts a comment.

    A first line whose third field is no number is taken for a header. Fields beyond the third are left alone, except
    in SimLex-999's own layout (word1, word2, POS, score, …), where the score is the fourth.

    Raises:
        DataError: a line that has no two words and a score, with its number; or no pair at all.
        StorageError: the file can't be read.
    """
    path = os.fspath(path)
    with storage.open_reader(path) as stream:
        content = stream.read()
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 at byte {error.start}", file=path) from None
    pairs = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in _split(line)]
        score = _score(fields)
        if score is not None:
            pairs.append((fields[0], fields[1], score))
        elif number > 1:
            raise DataError(
                f"expected two words and a score, found {line[:80]!r}", file=path, line=number
            )
    if not pairs:
        raise DataError("no pair of words with a score", file=path)
    return WordPairs(name or PurePosixPath(path).name, tuple(pairs))


def _split(line: str) -> list[str]:
    for separator in ("\t", ","):
        if separator in line:
            return line.split(separator)
    return line.split()


def _score(fields: list[str]) -> float | None:
    """The score is the third field; the fourth where the third is a part of speech."""
    for field in fields[2:4]:
        try:
            return float(field)
        except ValueError:
            continue
    return None


def installed_word_pairs() -> list[WordPairs]:
    """Return the sets that come with the installed packages: WS-353 where gensim is there, else none.

    The set itself states no licence, so it is read from a package that distributes it and not copied into this one.
    """
    spec = importlib.util.find_spec("gensim")
    if spec is None or not spec.submodule_search_locations:
        return []
    path = Path(spec.submodule_search_locations[0], "test", "test_data", "wordsim353.tsv")
    return [read_word_pairs(path, WS_353_NAME)] if path.is_file() else []


def find_word_pairs(paths: Sequence[str]) -> list[WordPairs]:
    """Read the sets named by `paths` (files, folders, prefixes); with none named, those that are installed."""
    if not paths:
        return installed_word_pairs()
    return [read_word_pairs(file) for path in paths for file in storage.list_files(path)]
