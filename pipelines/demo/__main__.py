"""The main job, end to end, on this machine: real text → three pipelines → packaged models → predictions over HTTP.

Word vectors from the text without its labels; BlazingText's classifier from the labelled text; and TensorFlow's, which starts from the
word vectors. The last is left out where TensorFlow is not installed, and for data with several labels a text.

::

    python pipelines/demo                      on the documentation inside the installed packages
    python pipelines/demo --data my.txt        on your own labelled text (or manifest)

`make demo` and `make demo DATA=my.txt` are the same.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from kftext import cli, models, storage
from kftext.data.dataset import Dataset
from kftext.data.formats import Format
from kftext.data.readers import read_rows
from kftext.data.rows import Row

# The pipelines are scripts of the folder above, not a package.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from server import serve
from text import collect, installed_packages

from blazingtext_classifier import blazingtext_classifier
from local_run import LocalRun, run_local
from tensorflow_classifier import tensorflow_classifier
from word_vectors import word_vectors

_EXAMPLES = 4
_LONGEST_SHOWN = 100


@dataclass(frozen=True)
class Data:
    """What the pipelines are run on."""

    corpus: str
    corpus_format: Format
    labeled: str
    labeled_format: Format
    validation: str = ""


def _title(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def _own_data(path: str) -> Data:
    """A person's file: a manifest where it starts like JSON, else labelled text. Validation says the rest."""
    if not storage.is_remote(path):
        path = str(Path(path).expanduser().resolve())
    form = (
        Format.MANIFEST if path.endswith((".jsonl", ".manifest", ".json")) else Format.LABELED_TEXT
    )
    return Data(path, form, path, form)


def _train_word_vectors(data: Data, root: Path) -> LocalRun:
    return run_local(
        word_vectors,
        {
            "data_uri": data.corpus,
            "data_format": data.corpus_format.value,
            "min_count": 3,
            "epochs": 10,
            "sampling_threshold": 0.001,
            # The demo serves the model itself, to ask more of it than the smoke test of a deployment.
            "traffic_percent": 0,
        },
        root,
    )


def _train_classifier(data: Data, root: Path) -> LocalRun:
    return run_local(
        blazingtext_classifier,
        {
            "data_uri": data.labeled,
            "validation_data_uri": data.validation,
            "data_format": data.labeled_format.value,
            # A few megabytes of text want more passes and larger steps than the defaults, which suit gigabytes.
            "epochs": 10,
            "learning_rate": 0.5,
            "min_count": 1,
            "vector_dim": 50,
            "buckets": 200000,
            "traffic_percent": 0,
        },
        root,
    )


def _train_tensorflow(data: Data, vectors: LocalRun, root: Path) -> LocalRun:
    return run_local(
        tensorflow_classifier,
        {
            "data_uri": data.labeled,
            "validation_data_uri": data.validation,
            "data_format": data.labeled_format.value,
            "model_id": vectors.outputs["model"].path,
            "pooling": "sif",
            # Fewer and larger steps than the defaults: this is to take seconds.
            "epochs": 4,
            "batch_size": 64,
            "learning_rate": 0.003,
            "traffic_percent": 0,
        },
        root,
    )


def _why_no_tensorflow(classifier: LocalRun) -> str:
    """Say why the third pipeline can't be run; nothing where it can."""
    if importlib.util.find_spec("tensorflow") is None:
        return "TensorFlow is not installed"
    dataset = Dataset.read(_dataset(classifier))
    if any(len(row.labels) > 1 for row in read_rows(dataset.train, dataset.format)):
        return "the data have texts with several labels, and this classifier gives one"
    return ""


def _ask_word_vectors(run: LocalRun, logs: Path) -> None:
    _title("Word vectors, served by KServe on loopback")
    model = cast(models.WordVectors, models.load(run.outputs["model"].path))
    # Frequent words of some length are the ones whose neighbours a person can judge.
    words = list(
        itertools.islice((word for word in model.words if len(word) > 4), 40, 40 + _EXAMPLES)
    )
    with serve("word-vectors", _archive(run), logs / "word-vectors.log") as client:
        print(f"POST {client.url}:predict")
        for word in words:
            near, _ = model.nearest_neighbors(word, 1)[0]
            first, second = client.predict([word, near])
            a, b = np.array(first["vector"]), np.array(second["vector"])
            cosine = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
            head = ", ".join(f"{value:+.3f}" for value in a[:4])
            print(
                f'  "{word}" -> [{head}, ... {len(a)} numbers]   nearest: "{near}", cosine {cosine:.2f}'
            )
    metrics = run.outputs["metrics"].metadata
    rho = metrics.get("mean_rho")
    print(
        f"WS-353: {metrics['pairs_found']:.0f} of {metrics['pairs']:.0f} pairs found"
        + (f", Spearman's rho {rho:.3f}" if rho is not None else "")
    )


def _ask_classifier(name: str, run: LocalRun, examples: Sequence[Row], logs: Path) -> None:
    _title(f"{name}, served by KServe on loopback")
    served_as = name.lower().replace(" ", "-")
    with serve(served_as, _archive(run), logs / f"{served_as}.log") as client:
        print(f"POST {client.url}:predict")
        answers = client.predict([row.text for row in examples], k=2)
        for row, answer in zip(examples, answers, strict=True):
            text = (
                row.text if len(row.text) <= _LONGEST_SHOWN else row.text[:_LONGEST_SHOWN] + "..."
            )
            guesses = ", ".join(
                f"{label.removeprefix('__label__')} {probability:.2f}"
                for label, probability in zip(answer["label"], answer["prob"], strict=True)
            )
            print(f'  "{text}"\n    -> {guesses}   (truth: {", ".join(row.labels)})')
    metrics: dict[str, Any] = run.outputs["metrics"].metadata
    print(
        f"Accuracy {metrics['accuracy']:.3f} on {metrics['examples']:.0f} held-out examples; "
        f"always naming the commonest label: {metrics['commonest_label_accuracy']:.3f}"
    )


def _archive(run: LocalRun) -> Path:
    return Path(run.outputs["archive"].path, "model.tar.gz")


def _dataset(run: LocalRun) -> Path:
    """The validation step's dataset: what it left out or split off is not in the data that it was given."""
    return next(run.folder.glob("*/dataset"))


def _examples(run: LocalRun) -> list[Row]:
    """Return held-out rows to ask about, with different labels as far as there are."""
    dataset = Dataset.read(_dataset(run))
    found: dict[tuple[str, ...], Row] = {}
    for row in read_rows(dataset.validation or dataset.train, dataset.format):
        found.setdefault(row.labels, row)
        if len(found) == _EXAMPLES:
            break
    return list(found.values())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo."""
    parser = cli.ArgumentParser(prog="python pipelines/demo", description=__doc__)
    parser.add_argument("--data", help="your own labelled text or manifest: a path or s3:// URI")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("demo-output"),
        help="folder of what is written (%(default)s)",
    )
    options = parser.parse_args(argv)
    start = time.monotonic()
    output = options.output.absolute()
    logs = output / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    if options.data:
        data = _own_data(options.data)
    else:
        _title("Text: the documentation inside the installed packages")
        text = collect(output / "text", installed_packages(), workers=min(4, os.cpu_count() or 1))
        data = Data(
            str(text.corpus),
            Format.CORPUS,
            str(text.training),
            Format.LABELED_TEXT,
            str(text.validation),
        )
    _title("Pipeline word-vectors")
    vectors = _train_word_vectors(data, output)
    _title("Pipeline blazingtext-classifier")
    classifier = _train_classifier(data, output)
    _ask_word_vectors(vectors, logs)
    _ask_classifier("Classifier", classifier, _examples(classifier), logs)
    runs = [vectors, classifier]
    _title("Pipeline tensorflow-classifier, from the word vectors")
    if why_not := _why_no_tensorflow(classifier):
        print(f"Left out: {why_not}.")
    else:
        runs.append(_train_tensorflow(data, vectors, output))
        _ask_classifier("TensorFlow classifier", runs[-1], _examples(runs[-1]), logs)
    _title("Where it lies")
    for run in runs:
        for name in ("model", "validation_report", "evaluation_report"):
            print(f"  {name.replace('_', ' '):18} {os.path.relpath(run.outputs[name].path)}")
        print(f"  {'archive':18} {os.path.relpath(_archive(run))}")
    print(f"\nDone in {time.monotonic() - start:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
