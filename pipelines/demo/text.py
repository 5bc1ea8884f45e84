"""Real text with no download: the sentences of the documentation inside the installed Python packages.

A sentence is labelled by the package it comes from. Nothing is imported or run: docstrings are read from the syntax tree.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from kftext.errors import ResourceError
from kftext.progress import Progress

__all__ = ["DemoText", "collect", "installed_packages", "sentences_of"]

PACKAGES = (
    "scipy",
    "pandas",
    "matplotlib",
    "numpy",
    "numba",
    "gensim",
    "mypy",
    "fontTools",
    "setuptools",
)
"""Installed packages with much prose of their own; the standard library comes on top, as "python"."""

SAMPLE = "gensim/test/test_data/lee_background.cor"
"""News articles that gensim ships: everyday words that documentation lacks, for the word vectors alone."""

SENTENCES_PER_LABEL = 12_000
"""More of one package would drown the other labels. Word vectors get them all."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"(])")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_SHORTEST = 5
_LEAST_PROSE = 0.7


@dataclass(frozen=True)
class DemoText:
    """Two files of the same sentences.

    Attributes:
        corpus: one sentence a line, in the order of the documentation, then news; for word vectors.
        training, validation: `__label__package sentence` a line, shuffled, with no sentence in both.
        examples: a few held-out sentences to ask the served classifier about, one a label.
    """

    corpus: Path
    training: Path
    validation: Path
    examples: tuple[str, ...]


def _texts(file: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's invalid escapes
        try:
            tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError, RecursionError):
            return  # a fixture that is no Python on purpose
    # Python carries its language reference (`help("topics")`) as one dictionary of texts.
    manual = file.match("pydoc_data/topics.py")
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
        elif manual and isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _sentences(text: str) -> Iterator[str]:
    """Split prose into lower-case sentences of words; code, tables and signatures are left out."""
    for paragraph in re.split(r"\n\s*\n", text):
        if ">>>" in paragraph:
            continue
        for sentence in _SENTENCE_END.split(" ".join(paragraph.split())):
            words = _WORD.findall(sentence.lower())
            letters = sum(map(len, words))
            if len(words) >= _SHORTEST and letters >= _LEAST_PROSE * len(sentence.replace(" ", "")):
                yield " ".join(words)


def sentences_of(file: Path) -> list[str]:
    """Return the distinct sentences that document one module, in their order."""
    return list(dict.fromkeys(sentence for text in _texts(file) for sentence in _sentences(text)))


def _sample_sentences(file: Path) -> list[str]:
    lines = file.read_text(encoding="utf-8", errors="replace").lower().splitlines()
    return [" ".join(_WORD.findall(line)) for line in lines]


def _files(root: Path) -> list[Path]:
    """The package's modules, without its tests: they take long to read and document little."""
    skipped = {"site-packages", "test", "tests", "_tests"}
    return [
        file
        for file in sorted(root.rglob("*.py"))
        if skipped.isdisjoint(file.relative_to(root).parts)
    ]


def _shuffled(lines: Iterable[str], purpose: bytes) -> list[str]:
    """Return the lines in an order that is the same on each run and machine, and another for each purpose."""
    return sorted(
        lines,
        key=lambda line: hashlib.blake2b(line.encode(), digest_size=8, person=purpose).digest(),
    )


def installed_packages() -> dict[str, Path]:
    """Return the folders whose documentation is read: those of `PACKAGES` that are installed, and the standard library."""
    site = Path(sysconfig.get_path("purelib"))
    found = {name: site / name for name in PACKAGES if (site / name).is_dir()}
    return {**found, "python": Path(sysconfig.get_path("stdlib"))}


def collect(folder: Path, roots: Mapping[str, Path], workers: int = 2) -> DemoText:
    """Write the demo's files into `folder`.

    Args:
        folder: made if it is not there.
        roots: label → folder of the package that the label stands for.
        workers: processes that read.

    Raises:
        ResourceError: fewer than two packages: there is nothing to tell apart.
    """
    if len(roots) < 2:
        raise ResourceError(
            f"the demo tells packages apart by their documentation, and only {len(roots)} is installed"
        )
    work = [(label, file) for label, root in roots.items() for file in _files(root)]
    by_label: dict[str, list[str]] = {label: [] for label in roots}
    with (
        ProcessPoolExecutor(workers) as pool,
        Progress(len(work), "files", "Reading documentation") as progress,
    ):
        found = pool.map(sentences_of, [file for _, file in work], chunksize=32)
        for (label, _), sentences in zip(work, found, strict=True):
            by_label[label] += sentences
            progress.update()
    sample = Path(sysconfig.get_path("purelib"), SAMPLE)
    return _write(by_label, _sample_sentences(sample) if sample.is_file() else [], folder)


def _one_a_label(lines: list[str]) -> tuple[str, ...]:
    by_label: dict[str, str] = {}
    for line in lines:
        label, _, sentence = line.partition(" ")
        by_label.setdefault(label, sentence)
    return tuple(by_label.values())


def _write(by_label: dict[str, list[str]], sample: list[str], folder: Path) -> DemoText:
    owners: dict[str, set[str]] = {}
    for label, sentences in by_label.items():
        for sentence in sentences:
            owners.setdefault(sentence, set()).add(label)
    labeled = []
    for label in by_label:
        # A sentence that several packages share (licences, conventions) has no one right answer.
        own = [
            f"__label__{label} {sentence}"
            for sentence, labels in owners.items()
            if labels == {label}
        ]
        labeled += _shuffled(own, b"sample")[:SENTENCES_PER_LABEL]
    labeled = _shuffled(labeled, b"split")
    held_out = len(labeled) // 10
    text = DemoText(
        corpus=folder / "corpus.txt",
        training=folder / "training.txt",
        validation=folder / "validation.txt",
        examples=_one_a_label(labeled[:held_out])[:4],
    )
    folder.mkdir(parents=True, exist_ok=True)
    for path, lines in (
        (text.corpus, [*owners, *sample]),
        (text.training, labeled[held_out:]),
        (text.validation, labeled[:held_out]),
    ):
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return text
