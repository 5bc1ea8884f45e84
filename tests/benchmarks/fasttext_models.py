"""Opening models and predicting with them, beside the real fasttext package: rates, load times, memory.

    KFTEXT_DATA=... python tests/benchmarks/fasttext_models.py [--rounds 5]

Two classifiers with word pairs in 2,000,000 buckets, of 10 and 100 dimensions (82 and 816 MB), and random weights: the time
does not depend on them. The texts are AG News' test set, tokenized. Rounds of both packages take turns; the best round of
each counts, rates with one thread per CPU second, with more threads per second. "batch" is labels and probabilities in arrays,
"list" an object for each line; the real package has lists alone, and one thread. Needs the environment of `make oracle`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ORACLE = ROOT / ".oracle" / "bin" / "python"
DIMENSIONS = (10, 100)
SINGLE_CALLS = 4000


def tokenize(text: str) -> str:
    return re.sub(r"([.!?,'/()])", r" \1 ", text).lower()


def make_inputs(data: Path, folder: Path) -> None:
    """Write the texts and the models."""
    import numpy as np

    from kftext.models import (
        Args,
        DenseMatrix,
        Dictionary,
        FastTextModel,
        Loss,
        Model,
        write_model,
    )

    with (data / "ag_news" / "test.csv").open(newline="") as file:
        texts = [tokenize(f"{title} {body}") for _, title, body in csv.reader(file)]
    (folder / "texts.txt").write_text("\n".join(texts) + "\n")
    train = (data / "ag_news" / "train_part_alps_dev10k.tsv").read_text().splitlines()
    counts = Counter(word for text in [*texts, *map(tokenize, train)] for word in text.split())
    words = [b"</s>", *(word.encode() for word, _ in counts.most_common())]
    labels = [b"__label__%d" % i for i in range(1, 5)]
    rng = np.random.default_rng(0)
    for dim in DIMENSIONS:
        arguments = Args(
            dim=dim, word_ngrams=2, loss=Loss.SOFTMAX, model=Model.SUPERVISED, minn=0, maxn=0
        )
        ranks = range(len(words), 0, -1)
        dictionary = Dictionary(arguments, words, ranks, labels, [4, 3, 2, 1])
        rows = len(words) + arguments.bucket
        input, output = (rng.random((n, dim), dtype=np.float32) - 0.5 for n in (rows, 4))
        model = FastTextModel(arguments, dictionary, DenseMatrix(input), DenseMatrix(output))
        write_model(model, folder / f"{dim}.bin")


def rate(function, calls: int, *, wall: bool = False, repeats: int = 3) -> float:
    """Calls a second, of CPU time or wall time, the best of some repeats."""
    clock, best = time.perf_counter if wall else time.process_time, float("inf")
    for _ in range(repeats):
        start = clock()
        function()
        best = min(best, clock() - start)
    return calls / best


def memory() -> dict[str, float]:
    """Resident megabytes: the process's own, and of mapped files, which processes share."""
    status = Path("/proc/self/status").read_text()
    found = dict(re.findall(r"(RssAnon|RssFile):\s+(\d+)", status))
    return {"own MB": int(found["RssAnon"]) / 1e3, "mapped MB": int(found["RssFile"]) / 1e3}


def measure_real(model_file: str, lines: list[str]) -> dict[str, float]:
    import fasttext

    before = memory()["own MB"]
    start = time.perf_counter()
    model = fasttext.load_model(model_file)
    result = {"load s": time.perf_counter() - start}
    result["batch 1T lines/cpu-s"] = rate(lambda: model.predict(lines), len(lines))
    result["batch 4T lines/s"] = rate(lambda: model.predict(lines), len(lines), wall=True)
    result["list 1T lines/cpu-s"] = result["batch 1T lines/cpu-s"]
    result["list 4T lines/s"] = result["batch 4T lines/s"]
    result["single lines/cpu-s"] = rate(
        lambda: [model.predict(line) for line in lines[:SINGLE_CALLS]], SINGLE_CALLS
    )
    after = memory()
    return result | {"own MB": after["own MB"] - before, "mapped MB": after["mapped MB"]}


def measure_ours(model_file: str, lines: list[str]) -> dict[str, float]:
    import numba  # noqa: F401 (its memory is not the model's)

    from kftext.models import load

    before = memory()["own MB"]
    start = time.perf_counter()
    model = load(model_file)
    result = {"load s": time.perf_counter() - start}
    numpy = rate(lambda: [model.predict([line]) for line in lines[:400]], 400, repeats=1)
    start = time.perf_counter()
    model.warm_up()
    result["warm up s"] = time.perf_counter() - start
    many = lines * 8
    result["batch 1T lines/cpu-s"] = rate(
        lambda: model.predict_arrays(lines, threads=1), len(lines)
    )
    result["batch 4T lines/s"] = rate(
        lambda: model.predict_arrays(many, threads=4), len(many), wall=True
    )
    result["list 1T lines/cpu-s"] = rate(lambda: model.predict(lines, threads=1), len(lines))
    result["list 4T lines/s"] = rate(lambda: model.predict(many, threads=4), len(many), wall=True)
    result["single lines/cpu-s"] = rate(
        lambda: [model.predict([line]) for line in lines[:SINGLE_CALLS]], SINGLE_CALLS
    )
    result["single NumPy lines/cpu-s"] = numpy
    after = memory()
    return result | {"own MB": after["own MB"] - before, "mapped MB": after["mapped MB"]}


def work(which: str, model_file: str, texts: str) -> None:
    lines = Path(texts).read_text().splitlines()
    measure = measure_real if which == "real" else measure_ours
    print(json.dumps(measure(model_file, lines)))


def best_of(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The best of each figure: rates the highest, seconds and megabytes the lowest."""
    return {
        name: (max if "lines" in name else min)(figures[name] for figures in rounds)
        for name in rounds[0]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(*arguments.worker)
        return
    if not os.environ.get("KFTEXT_DATA") or not ORACLE.exists():
        sys.exit(
            "error: needs KFTEXT_DATA (docs/data.md) and the environment that `make oracle` builds"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_inputs(Path(os.environ["KFTEXT_DATA"]), folder)
        for dim in DIMENSIONS:
            file = folder / f"{dim}.bin"
            print(f"\n{dim} dimensions, {file.stat().st_size / 1e6:.0f} MB")
            rounds: dict[str, list[dict[str, float]]] = {"real": [], "kftext": []}
            for _ in range(arguments.rounds):
                for which, python in (("real", ORACLE), ("kftext", sys.executable)):
                    command = [python, __file__, "--worker", which, file, folder / "texts.txt"]
                    done = subprocess.run(command, capture_output=True, text=True, check=True)
                    rounds[which].append(json.loads(done.stdout))
            real, ours = best_of(rounds["real"]), best_of(rounds["kftext"])
            print(f"{'':28}{'fasttext':>14}{'kftext':>14}{'ratio':>8}")
            for figure, value in ours.items():
                theirs = real.get(figure)
                left = f"{theirs:14,.2f}{value:14,.2f}" if theirs else f"{'':14}{value:14,.2f}"
                print(f"{figure:28}{left}" + (f"{value / theirs:8.2f}" if theirs else ""))


if __name__ == "__main__":
    main()
