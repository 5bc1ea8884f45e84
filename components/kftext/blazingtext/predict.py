"""Predict labels of texts, or look up vectors of words: a line in, a JSON object out.

  python -m kftext.blazingtext.predict --model model texts.txt         {"label": ["__label__4"], "prob": [0.98]}
  python -m kftext.blazingtext.predict --model model.bin --k 3 < texts.txt
  echo apple | python -m kftext.blazingtext.predict --model vectors.bin    {"vector": [0.1, ...], "word": "apple"}

INPUT is a local or s3:// file, plain or gzip, one text a line; standard input by default. Words __label__... in a text are left out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import BinaryIO

import orjson

from kftext import cli, storage
from kftext.data.lines import open_text
from kftext.models import Classifier, Predictor, TextEncoder, load

__all__ = ["main"]

_LINES_AT_A_TIME = 10_000


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = cli.ArgumentParser(prog="python -m kftext.blazingtext.predict", description=__doc__)
    parser.add_argument(
        "--model", required=True, metavar="FILE", help="a model folder, or a .bin, .ftz or .vec"
    )
    parser.add_argument(
        "--k", type=int, default=1, help="labels for each text, -1 for all (default %(default)s)"
    )
    parser.add_argument(
        "--threshold", type=float, default=0.0, help="leave out labels that are less probable"
    )
    parser.add_argument("--threads", type=int, help="default: the processors at hand")
    parser.add_argument("input", nargs="?", metavar="INPUT", help="default: standard input")
    options = parser.parse_args(argv)
    with storage.local_copy(options.model) as path, _open(options.input) as stream:
        model = load(path)
        for texts in _batches(stream):
            for answer in _predict(model, texts, options.k, options.threshold, options.threads):
                sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        sys.stdout.flush()
    return 0


@contextmanager
def _open(path: str | None) -> Iterator[BinaryIO]:
    if path is None or path == "-":
        yield sys.stdin.buffer
    else:
        with open_text(path) as stream:
            yield stream


def _batches(stream: BinaryIO) -> Iterator[list[str]]:
    # Someone who types lines waits for each answer.
    size = 1 if stream.isatty() else _LINES_AT_A_TIME
    lines = iter(stream)
    while batch := [
        line.rstrip(b"\r\n").decode("utf-8", "replace") for line in islice(lines, size)
    ]:
        yield batch


def _predict(
    model: Predictor, texts: list[str], k: int, threshold: float, threads: int | None
) -> Iterable[dict[str, object]]:
    if isinstance(model, Classifier):
        for prediction in model.predict(texts, k, threshold, threads=threads):
            yield {"label": prediction.labels, "prob": prediction.probabilities}
    elif isinstance(model, TextEncoder):
        for vector in model.embed(texts):
            yield {"vector": vector.tolist()}
    else:
        for word, vector in zip(texts, model.vectors(texts), strict=True):
            yield {"vector": vector.tolist(), "word": word}


if __name__ == "__main__":
    sys.exit(cli.run(main))
