"""The `fasttext` command: same sub-commands, flags and output.

python -m kftext.fasttext supervised -input train.txt -output model -wordNgrams 2
python -m kftext.fasttext test model.bin test.txt
echo "a movie to remember" | python -m kftext.fasttext predict-prob model.bin - 3
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kftext import cli
from kftext.errors import StorageError, UsageError
from kftext.fasttext import load_model, train_supervised, train_unsupervised
from kftext.fasttext.lines import cut_line
from kftext.models import Classifier, DenseMatrix, WordVectors, read_model
from kftext.models.word2vec_text import write_text

__all__ = ["main"]

_COMMANDS = {
    "supervised": "train a supervised classifier",
    "skipgram": "train a skipgram model",
    "cbow": "train a cbow model",
    "quantize": "quantize a model to reduce the memory usage",
    "test": "evaluate a supervised classifier",
    "test-label": "print labels with precision and recall scores",
    "predict": "predict most likely labels",
    "predict-prob": "predict most likely labels with probabilities",
    "print-word-vectors": "print word vectors given a trained model",
    "print-sentence-vectors": "print sentence vectors given a trained model",
    "print-ngrams": "print ngrams given a trained model and word",
    "nn": "query for nearest neighbors",
    "analogies": "query for analogies",
    "dump": "dump arguments, dictionary, input or output vectors",
}
_FLAGS = {
    "lr": float, "lrUpdateRate": int, "dim": int, "ws": int, "epoch": int, "minCount": int,
    "minCountLabel": int, "neg": int, "wordNgrams": int, "loss": str, "bucket": int, "minn": int,
    "maxn": int, "thread": int, "t": float, "label": str, "verbose": int,
    "pretrainedVectors": str, "seed": int,
}  # fmt: skip
_AUTOTUNE = {
    "autotune-validation": ("autotuneValidationFile", str),
    "autotune-metric": ("autotuneMetric", str),
    "autotune-predictions": ("autotunePredictions", int),
    "autotune-duration": ("autotuneDuration", int),
    "autotune-modelsize": ("autotuneModelSize", str),
}


def _parser() -> cli.ArgumentParser:
    parser = cli.ArgumentParser(prog="python -m kftext.fasttext", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    made = {
        name: commands.add_parser(
            name, help=text, description=text, argument_default=argparse.SUPPRESS
        )
        for name, text in _COMMANDS.items()
    }
    for name in ("supervised", "skipgram", "cbow", "quantize"):
        made[name].add_argument("-input", required=name != "quantize", help="training file path")
        made[name].add_argument(
            "-output", required=True, help="output file path, without its ending"
        )
        for flag, kind in _FLAGS.items():
            made[name].add_argument(f"-{flag}", type=kind, metavar="VALUE")
        made[name].add_argument("-saveOutput", action="store_true", help="write the output vectors")
        for flag, (target, kind) in _AUTOTUNE.items():
            made[name].add_argument(f"-{flag}", dest=target, type=kind, metavar="VALUE")
        for flag in ("cutoff", "dsub"):
            made[name].add_argument(f"-{flag}", type=int, metavar="VALUE")
        for flag in ("qnorm", "qout", "retrain"):
            made[name].add_argument(f"-{flag}", action="store_true")
    for name in ("test", "test-label", "predict", "predict-prob"):
        made[name].add_argument("model", help="model filename")
        made[name].add_argument("data", help="test data filename (if -, read from stdin)")
        made[name].add_argument("k", nargs="?", type=int, default=1, help="predict top k labels")
        made[name].add_argument(
            "th", nargs="?", type=float, default=0.0, help="probability threshold"
        )
    for name in (
        "print-word-vectors",
        "print-sentence-vectors",
        "print-ngrams",
        "nn",
        "analogies",
        "dump",
    ):
        made[name].add_argument("model", help="model filename")
    made["print-ngrams"].add_argument("word", help="word to print")
    made["dump"].add_argument("option", choices=("args", "dict", "input", "output"))
    for name in ("nn", "analogies"):
        made[name].add_argument("k", nargs="?", type=int, default=10, help="how many to print")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sub-command; return the exit code."""
    arguments = _parser().parse_args(argv)
    command = arguments.command
    if command in ("supervised", "skipgram", "cbow"):
        _train(arguments)
    elif command == "quantize":
        _quantize(arguments)
    elif command in ("test", "test-label"):
        _test(arguments)
    elif command in ("predict", "predict-prob"):
        _predict(arguments)
    elif command == "dump":
        _dump(arguments)
    else:
        _query(arguments)
    return 0


def _write(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")


def _number(value: float) -> str:
    """A number as C++ streams print it, with six digits."""
    return f"{value:.6g}"


def _vector(values: npt.NDArray[np.float32]) -> str:
    return " ".join(f"{value:.5g}" for value in values.tolist()) + " "


def _given(arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, object]:
    return {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}


def _train(arguments: argparse.Namespace) -> None:
    names = [*_FLAGS, *(target for target, _ in _AUTOTUNE.values())]
    values = _given(arguments, names)
    _check_writable(arguments.output)
    if arguments.command == "supervised":
        model = train_supervised(arguments.input, **values)
    else:
        values = {name: value for name, value in values.items() if not name.startswith("autotune")}
        model = train_unsupervised(arguments.input, model=arguments.command, **values)
    ending = ".ftz" if model.is_quantized() else ".bin"
    model.save_model(arguments.output + ending)
    kept = model.to_model()
    dictionary = kept.dictionary
    write_text(arguments.output + ".vec", dictionary.words, WordVectors(kept).all_vectors())
    if hasattr(arguments, "saveOutput"):
        names_of_rows = dictionary.labels if kept.arguments.supervised else dictionary.words
        write_text(arguments.output + ".output", names_of_rows, kept.output.dense())


def _check_writable(output: str) -> None:
    """Raise StorageError where a model can't be written: better before training than after it."""
    if "://" in output:
        return  # a bucket tells at its own time
    folder = Path(output).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{output}: can't be written: no folder {folder}: {error.strerror}"
        ) from None
    if not os.access(folder, os.W_OK):
        raise StorageError(f"{output}: can't be written: no permission to write to {folder}")


def _quantize(arguments: argparse.Namespace) -> None:
    model = load_model(arguments.output + ".bin")
    names = ("input", "qout", "cutoff", "retrain", "epoch", "lr", "thread", "dsub", "qnorm")
    model.quantize(**_given(arguments, names))  # type: ignore[arg-type]
    model.save_model(arguments.output + ".ftz")


def _classifier(path: str) -> Classifier:
    model = read_model(path)
    if not model.arguments.supervised:
        raise UsageError(f"{path}: Model needs to be supervised for prediction!")
    return Classifier(model)


def _test(arguments: argparse.Namespace) -> None:
    path = "/dev/stdin" if arguments.data == "-" else arguments.data
    model = load_model(arguments.model)
    meter = model.measure(path, arguments.k, arguments.th)
    style = ".3g"
    if arguments.command == "test-label":
        style = ".3f"  # the original's stream stays in the fixed notation
        for index, label in enumerate(model.labels):
            scores = {
                "F1-Score": meter.f1_score(index),
                "Precision": meter.precision(index),
                "Recall": meter.recall(index),
            }
            columns = (
                f"{name} : {f'{value:.6f}' if math.isfinite(value) else '--------'}  "
                for name, value in scores.items()
            )
            _write(["".join(columns) + " " + label])
    _write(
        [
            f"N\t{meter.examples}",
            f"P@{arguments.k}\t{meter.precision():{style}}",
            f"R@{arguments.k}\t{meter.recall():{style}}",
        ]
    )


def _lines(path: str) -> Iterator[bytes]:
    """Yield the lines of a file or of the standard input, as fastText cuts them; those that a newline ends, with it."""
    if path == "-":
        yield from chain.from_iterable(map(cut_line, sys.stdin.buffer))
        return
    try:
        with Path(path).open("rb") as file:
            yield from chain.from_iterable(map(cut_line, file))
    except OSError as error:
        raise StorageError(f"{path}: can't be read: {error.strerror}") from None


def _predict(arguments: argparse.Namespace) -> None:
    classifier = _classifier(arguments.model)
    k, labels = classifier.check_k(arguments.k), classifier.labels
    with_probabilities = arguments.command == "predict-prob"
    for chunk in _chunks(_lines(arguments.data)):
        for line, prediction in zip(
            chunk, _predict_lines(classifier, chunk, k, arguments.th), strict=True
        ):
            if not line.endswith(b"\n"):
                # The last line of a file without a newline has no end of sentence, in fastText as well.
                rows = classifier.dictionary.line(line, end_of_line=False)[0]
                best = classifier.best(rows, k, arguments.th)
                prediction = [(labels[index], math.exp(score)) for score, index in best]
            if with_probabilities:
                _write([" ".join(f"{label} {_number(p)}" for label, p in prediction)])
            else:
                _write([" ".join(label for label, _ in prediction)])


def _chunks(lines: Iterator[bytes], size: int = 20_000) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for line in lines:
        chunk.append(line)
        # Someone at a terminal waits for each answer.
        if len(chunk) == size or sys.stdin.isatty():
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _predict_lines(
    classifier: Classifier, lines: list[bytes], k: int, threshold: float
) -> Iterator[list[tuple[str, float]]]:
    texts = [line.decode("utf-8", "surrogateescape") for line in lines]
    for prediction in classifier.predict(texts, k, threshold):
        yield list(zip(prediction.labels, prediction.probabilities, strict=True))


def _query(arguments: argparse.Namespace) -> None:
    """Answer what stands on the standard input, a word or a line at a time."""
    model = load_model(arguments.model)
    if arguments.command == "print-ngrams":
        names, rows = model.get_subwords(arguments.word)
        for name, row in zip(names, rows.tolist(), strict=True):
            _write([f"{name} {_vector(model.get_input_vector(row))}"])
    elif arguments.command == "print-sentence-vectors":
        supervised = model.to_model().arguments.supervised
        for line in _lines("-") if supervised else sys.stdin.buffer:
            text = line.removesuffix(b"\n").decode("utf-8", "surrogateescape")
            _write([_vector(model.get_sentence_vector(text))])
    elif arguments.command == "print-word-vectors":
        for word in _words():
            _write([f"{word} {_vector(model.get_word_vector(word))}"])
    elif arguments.command == "nn":
        _prompt("Query word? ")
        for word in _words():
            _answer(model.get_nearest_neighbors(word, arguments.k))
            _prompt("Query word? ")
    else:
        _write([f"Loading model {arguments.model}"])
        question = "Query triplet (A - B + C)? "
        _prompt(question)
        words = _words()
        for a, b, c in zip(words, words, words, strict=False):
            _answer(model.get_analogies(a, b, c, arguments.k))
            _prompt(question)


def _words() -> Iterator[str]:
    for line in sys.stdin:
        yield from line.split()


def _prompt(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _answer(found: list[tuple[float, str]]) -> None:
    _write(f"{word} {_number(cosine)}" for cosine, word in found)


def _dump(arguments: argparse.Namespace) -> None:
    model = read_model(arguments.model)
    if arguments.option == "args":
        names = {
            "min_count": "minCount",
            "word_ngrams": "wordNgrams",
            "lr_update_rate": "lrUpdateRate",
        }
        shown = asdict(model.arguments) | {
            "loss": {"OVA": "one-vs-all"}.get(
                model.arguments.loss.name, model.arguments.loss.name.lower()
            ),
            "model": {1: "cbow", 2: "sg", 3: "sup"}[model.arguments.model],
            "t": _number(model.arguments.t),
        }
        _write(f"{names.get(name, name)} {value}" for name, value in shown.items())
        return
    dictionary = model.dictionary
    if arguments.option == "dict":
        _write([str(len(dictionary.words) + len(dictionary.labels))])
        for names_, counts, kind in (
            (dictionary.words, dictionary.counts, "word"),
            (dictionary.labels, dictionary.label_counts, "label"),
        ):
            pairs = zip(names_, counts.tolist(), strict=True)
            _write(f"{name.decode('utf-8', 'replace')} {count} {kind}" for name, count in pairs)
        return
    matrix = model.input if arguments.option == "input" else model.output
    if model.quantized or not isinstance(matrix, DenseMatrix):
        raise UsageError("Not supported for quantized models.")
    _write(["{} {}".format(*matrix.shape)])
    _write(" ".join(_number(value) for value in row.tolist()) for row in matrix.values)


if __name__ == "__main__":
    sys.exit(cli.run(main))
