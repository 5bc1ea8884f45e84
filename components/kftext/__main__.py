"""Every command of this package: `kftext NAME …` is `python -m kftext.NAME …`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from kftext import __version__, cli
from kftext.errors import UsageError

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "validation": "check a text data set",
    "blazingtext.train": "train word vectors, or a classifier on them, on CPU or GPU",
    "blazingtext.predict": "ask a trained model, line by line",
    "text_classification.train": "fine-tune a pretrained TensorFlow encoder",
    "text_classification.defaults": "list pretrained encoders, print one's hyperparameters",
    "text_classification.export_encoder": "write a pretrained encoder as a folder that servers load",
    "text_classification.mirror": "copy pretrained encoders to where there is no network",
    "evaluation.word_similarity": "judge word vectors on WS-353 and by nearest neighbours",
    "evaluation.classification": "judge a classifier on labelled text",
    "packaging": "write a model as the archive that servers load",
    "registry": "keep a packaged model as a version of its own, with its card",
    "serving": "answer predictions over HTTP and gRPC",
    "batch": "predict every line of files",
    "deployment": "put a packaged model on a cluster with KServe",
    "fasttext": "the fasttext command, with its sub-commands and flags",
    "blazingtext.cuda.resources": "registers and spills of each GPU kernel",
}
"""Module below `kftext` that holds the command: what it does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names; without one, list them.

    Raises:
        UsageError: there is no such command.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        _list()
        return 0
    name, *rest = words
    if name == "--version":
        print(__version__)  # noqa: T201  # what was asked for
        return 0
    if name not in COMMANDS:
        raise UsageError(f"no command {name!r}: valid are {', '.join(COMMANDS)}")
    try:
        module = importlib.import_module(f"kftext.{name}.__main__")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(f"kftext.{name}"):
            raise
        module = importlib.import_module(f"kftext.{name}")
    return module.main(rest) or 0


def _list() -> None:
    width = max(map(len, COMMANDS))
    print("usage: kftext COMMAND [options; kftext COMMAND --help lists them]\n")  # noqa: T201
    for name, purpose in COMMANDS.items():
        print(f"  {name:{width}}  {purpose}")  # noqa: T201


def entry_point() -> int:
    """What the installed `kftext` program runs."""
    return cli.run(main)


if __name__ == "__main__":
    sys.exit(entry_point())
