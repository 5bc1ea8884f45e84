"""Word2Vec and the classifier on a GPU, all that needs one: the tests, the memory checker, words/s, and quality beside the CPU's.

    KFTEXT_DATA=data python tests/benchmarks/cuda_word2vec.py      # everything, about 30 minutes on one H100
    python tests/benchmarks/cuda_word2vec.py --only speed          # without the data sets, all but quality

In pieces of less than ten minutes; each adds its part to the results:

    python tests/benchmarks/cuda_word2vec.py --only tests memcheck
    python tests/benchmarks/cuda_word2vec.py --only speed --dims 100
    python tests/benchmarks/cuda_word2vec.py --only speed --dims 300
    python tests/benchmarks/cuda_word2vec.py --only command
    KFTEXT_DATA=data python tests/benchmarks/cuda_word2vec.py --only quality --modes skipgram
    KFTEXT_DATA=data python tests/benchmarks/cuda_word2vec.py --only quality --modes cbow batch_skipgram
    KFTEXT_DATA=data python tests/benchmarks/cuda_word2vec.py --only supervised supervised_quality

Writes tests/benchmarks/results/cuda_word2vec.json, with the GPU, its driver and the commands, and prints the tables. A word is a raw
token of an epoch. The ceiling is the words/s at which the GPU could do nothing but move rows between its memory and its processors, or
nothing but multiply and add, whichever is less. Without a GPU it says why and ends with 1; in numba's simulator it runs too, to try it out:

    NUMBA_ENABLE_CUDASIM=1 python tests/benchmarks/cuda_word2vec.py --only speed --tokens 300 --dims 8 --output /tmp/simulated.json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from contest import machine, need_data
from supervised_training import ag_news, read_csv, write
from word2vec_training import CORPUS, clean, judge

from kftext import cli

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "cuda_word2vec.json"
TESTS = HERE.parent / "blazingtext" / "cuda"
# Peak of float32 arithmetic (FLOP/s) and of device memory (bytes/s), from NVIDIA's data sheets.
PEAKS = {
    "H200": (67e12, 4.8e12),
    "H100 PCIe": (51e12, 2.0e12),
    "H100": (67e12, 3.35e12),
    "A100": (19.5e12, 2.0e12),
    "L4": (30.3e12, 0.3e12),
    "T4": (8.1e12, 0.32e12),
}
MODES: dict[str, dict[str, Any]] = {
    "skipgram": {"mode": "skipgram"},
    "skipgram, exact": {"mode": "skipgram", "exact": True},
    "skipgram, subwords": {"mode": "skipgram", "subwords": True},
    "batch_skipgram": {"mode": "batch_skipgram"},
    "cbow": {"mode": "cbow"},
}
EPOCHS = 3


def run_pytest(*options: str, under: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run the tests that need a GPU, and say what pytest said last."""
    command = [*under, sys.executable, "-m", "pytest", "-q", "-m", "gpu", *options, str(TESTS)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    print(result.stdout[-3000:], result.stderr[-3000:], flush=True)
    return {"passed": result.returncode == 0, "said": result.stdout.strip().splitlines()[-3:]}


def run_tests(options: argparse.Namespace, device: Any) -> Iterator[dict[str, Any]]:
    """Yield what the tests of the kernels found."""
    yield {"tool": "pytest"} | run_pytest()


def run_memcheck(options: argparse.Namespace, device: Any) -> Iterator[dict[str, Any]]:
    """Yield what NVIDIA's checkers of memory, races and synchronization found in the tests of one shape."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        print("compute-sanitizer is not on PATH (it is part of the CUDA toolkit): not run")
        yield {"tool": "compute-sanitizer", "skipped": "not on PATH"}
        return
    for tool in ("memcheck", "racecheck", "synccheck"):
        under = (program, "--tool", tool, "--target-processes", "all", "--error-exitcode", "9")
        yield {"tool": tool} | run_pytest("-k", "17", under=under)


def made_up_corpus(tokens: int) -> tuple[Any, np.ndarray]:
    """Return lines of 25 words by Zipf's law, and counts: enough for speed, which does not ask what words mean."""
    from kftext.blazingtext.encoded import EncodedCorpus

    words = max(min(400_000, tokens // 20), 10)
    generator, cumulated = np.random.default_rng(1), np.cumsum(1 / np.arange(1, words + 1))
    ids = np.searchsorted(cumulated, generator.random(tokens) * cumulated[-1]).astype(np.int32)
    counts = np.bincount(ids, minlength=words)
    order = np.argsort(-counts, kind="stable")
    rank = np.empty(words, np.int32)
    rank[order] = np.arange(words, dtype=np.int32)
    offsets = np.append(np.arange(0, tokens, 25), tokens)
    return EncodedCorpus(rank[ids], offsets, tokens), counts[order].astype(np.int64)


def settings_for(name: str, dim: int, epochs: int, learning_rate: float = 0.025) -> Any:
    from kftext.blazingtext.hyperparameters import Word2VecHyperparameters

    return Word2VecHyperparameters(
        vector_dim=dim, epochs=epochs, learning_rate=learning_rate, **MODES[name]
    )


def start(corpus: Any, counts: np.ndarray, settings: Any, device: Any, **options: Any) -> Any:
    """Return a run on the GPU."""
    from kftext.blazingtext.cuda.word2vec import CudaWord2VecTraining

    return CudaWord2VecTraining(corpus, counts, settings, devices=[device], **options)


def most_words_a_second(device: str, settings: Any, kept: float) -> float | None:
    """Return raw words/s at the GPU's peaks, by the traffic and the arithmetic of each kept word; None for an unknown GPU."""
    peaks = next((peaks for known, peaks in PEAKS.items() if known in device), None)
    if peaks is None or settings.subwords:
        return None
    contexts, outputs = settings.window_size + 1, 1 + settings.negative_samples
    # Each row is read and added to; CBOW trains one vector a window. Each input and output row meet for a score and two changes.
    groups = contexts if settings.exact else 1
    rows = 2 * (contexts + groups * outputs)
    meetings = outputs if settings.mode == "cbow" else contexts * outputs
    dim = settings.vector_dim
    return min(peaks[0] / (6 * dim * meetings), peaks[1] / (4 * dim * rows)) / kept


def measure_speed(options: argparse.Namespace, device: Any) -> Iterator[dict[str, Any]]:
    """Yield words/s by mode, dimension and streams a multiprocessor: the median of some epochs after the first, which compiles."""
    from kftext.blazingtext.cuda import launch
    from kftext.blazingtext.kernels.sampling import keep_thresholds
    from kftext.blazingtext.subwords import compute_subwords

    corpus, counts = made_up_corpus(options.tokens)
    keep = keep_thresholds(counts, options.tokens, 1e-4) / 2**32
    kept = float((counts * keep).sum() / counts.sum())
    names = [b"w%06d" % n for n in range(len(counts))]
    chosen = launch.STREAMS_A_MULTIPROCESSOR
    for mode in options.modes:
        for dim in options.dims:
            for per_multiprocessor in sorted({*options.streams, chosen}):
                launch.STREAMS_A_MULTIPROCESSOR = per_multiprocessor
                settings = settings_for(mode, dim, 1 + EPOCHS)
                subwords = None
                if settings.subwords:
                    subwords = compute_subwords(names, 3, 6, settings.buckets)
                run = start(corpus, counts, settings, device, subwords=subwords)
                seconds = [run.run_epoch().seconds for _ in range(1 + EPOCHS)][1:]
                rates = sorted(options.tokens / second for second in seconds)
                ceiling = most_words_a_second(device.name, settings, kept)
                yield {
                    "mode": mode,
                    "dim": dim,
                    "streams_a_multiprocessor": per_multiprocessor,
                    "limits": asdict(run.limits[0]),
                    "words_per_second": float(np.median(rates)),
                    "least": rates[0],
                    "greatest": rates[-1],
                    "share_of_ceiling": float(np.median(rates)) / ceiling if ceiling else None,
                }
    launch.STREAMS_A_MULTIPROCESSOR = chosen


def measure_command(options: argparse.Namespace, device: Any) -> Iterator[dict[str, Any]]:
    """Yield what reading, training and the whole of it take, from a text file to matrices: five epochs of skip-gram."""
    from kftext.blazingtext.corpus import Reading, read_corpus
    from kftext.blazingtext.vocabulary import VocabularyRules

    corpus, _ = made_up_corpus(options.tokens)
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        with text.open("w", encoding="ascii") as out:
            for line in np.array_split(corpus.ids, max(options.tokens // 25, 1)):
                out.write(" ".join(map("w{:06d}".format, line.tolist())) + "\n")
        begin = time.monotonic()
        vocabulary, read = read_corpus([str(text)], VocabularyRules(1), Reading(options.threads))
        reading = time.monotonic() - begin
        run = start(read, vocabulary.counts, settings_for("skipgram", 100, 5), device)
        seconds = [run.run_epoch().seconds for _ in range(5)]
        run.finish()
        yield {
            "words": options.tokens,
            "threads": options.threads,
            "reading_seconds": reading,
            "reading_words_per_second": options.tokens / reading,
            "first_epoch_seconds": seconds[0],
            "other_epochs_seconds": seconds[1:],
            "total_seconds": time.monotonic() - begin,
        }


def measure_quality(options: argparse.Namespace, device: Any) -> Iterator[dict[str, Any]]:
    """Yield WS-353, SimLex-999 and the share of analogies solved, of the CPU and of the GPU with more and with fewer streams."""
    from kftext.blazingtext.corpus import Reading, read_corpus
    from kftext.blazingtext.cuda import launch
    from kftext.blazingtext.vocabulary import VocabularyRules
    from kftext.blazingtext.word2vec import Word2VecTraining

    data = need_data()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "wikipedia.txt"
        clean(data / CORPUS, text, options.words)
        vocabulary, corpus = read_corpus([str(text)], VocabularyRules(5), Reading(options.threads))
    words, chosen = [word.decode() for word in vocabulary.words], launch.STREAMS_A_MULTIPROCESSOR
    for mode in options.modes:
        settings = settings_for(mode, 100, EPOCHS, learning_rate=0.05)
        if settings.subwords or settings.exact:
            continue
        for per_multiprocessor in (None, 1, chosen, 4 * chosen):
            for seed in range(options.seeds):
                run: Any
                if per_multiprocessor is None:
                    run = Word2VecTraining(
                        corpus, vocabulary.counts, settings, threads=options.threads, seed=seed
                    )
                else:
                    launch.STREAMS_A_MULTIPROCESSOR = per_multiprocessor
                    run = start(corpus, vocabulary.counts, settings, device, seed=seed)
                while run.position.epoch < settings.epochs:
                    run.run_epoch()
                yield {
                    "mode": mode,
                    "device": "cpu" if per_multiprocessor is None else "cuda",
                    "streams": len(run.position.random),
                    "seed": seed,
                    "loss": run.curve[-1].loss,
                    "seconds": sum(record.seconds for record in run.curve),
                    **judge(data, words, run.finish().input),
                }
    launch.STREAMS_A_MULTIPROCESSOR = chosen


LOSSES = ("softmax", "hs", "ns", "ova")
RATE = 0.25


def made_up_texts(tokens: int, labels: int) -> Any:
    """Return texts of 40 words by Zipf's law, one label each."""
    from kftext.blazingtext.encoded import EncodedExamples
    from kftext.blazingtext.supervised_data import SupervisedData

    corpus, counts = made_up_corpus(tokens)
    generator = np.random.default_rng(2)
    offsets = np.append(np.arange(0, tokens, 40), tokens)
    ids = np.sort(generator.integers(0, labels, len(offsets) - 1)).astype(np.int32)
    generator.shuffle(ids)
    hashes = generator.integers(0, 1 << 32, len(counts)).astype(np.uint32)
    examples = EncodedExamples(
        corpus.ids, offsets, ids, np.arange(len(offsets)), hashes, tokens + len(ids)
    )
    label_counts = np.bincount(ids, minlength=labels).astype(np.int64)
    return SupervisedData(examples, len(counts), label_counts)


def start_classifier(data: Any, settings: Any, device: Any, seed: int = 0) -> Any:
    """Return a run on the GPU."""
    from kftext.blazingtext.cuda.supervised import CudaSupervisedTraining

    return CudaSupervisedTraining(data, settings, devices=[device], seed=seed)


def measure_supervised(options: argparse.Namespace, device: Any) -> Iterator[dict[str, Any]]:
    """Yield the classifier's words/s by loss, dimension and labels, with word bigrams and two million buckets."""
    from kftext.blazingtext.hyperparameters import SupervisedHyperparameters

    for labels in (4, 1000):
        data = made_up_texts(options.tokens, labels)
        for loss in LOSSES:
            for dim in options.dims:
                settings = SupervisedHyperparameters(
                    mode="supervised", vector_dim=dim, loss=loss, epochs=1 + EPOCHS, learning_rate=0.05,
                    buckets=options.buckets,
                )  # fmt: skip
                run = start_classifier(data, settings, device)
                seconds = [run.run_epoch().seconds for _ in range(1 + EPOCHS)][1:]
                rates = sorted(options.tokens / second for second in seconds)
                yield {
                    "mode": f"supervised, {loss}, {labels} labels",
                    "dim": dim,
                    "limits": asdict(run.limits[0]),
                    "words_per_second": float(np.median(rates)),
                    "least": rates[0],
                    "greatest": rates[-1],
                    "share_of_ceiling": None,
                }


def measure_supervised_quality(
    options: argparse.Namespace, device: Any
) -> Iterator[dict[str, Any]]:
    """Yield precision at one on AG News, all of it and 5,000 texts, of the CPU and of the GPU."""
    from kftext.blazingtext.accuracy import Accuracy
    from kftext.blazingtext.corpus import Reading, read_examples
    from kftext.blazingtext.hyperparameters import SupervisedHyperparameters
    from kftext.blazingtext.supervised import SupervisedTraining
    from kftext.blazingtext.supervised_data import SupervisedData
    from kftext.blazingtext.vocabulary import VocabularyRules
    from kftext.data.formats import Format

    data = need_data() / "ag_news"
    with tempfile.TemporaryDirectory() as folder:
        train, test = Path(folder) / "train.txt", Path(folder) / "test.txt"
        write(read_csv(data / "test.csv", False, 0, (1, 2), 1), test)
        for texts in (5000, None):
            rows = list(ag_news(data))
            order = np.random.default_rng(1).permutation(len(rows)).tolist()
            write((rows[i] for i in order), train, texts)
            reading = Reading(options.threads)
            rules, format = VocabularyRules(1), Format.LABELED_TEXT
            vocabulary, examples = read_examples([str(train)], format, rules, reading=reading)
            fixed = VocabularyRules(1, known=vocabulary, fixed=True)
            _, held_out = read_examples([str(test)], format, fixed, reading=reading)
            words, counts = len(vocabulary.words), vocabulary.label_counts
            for loss in LOSSES:
                settings = SupervisedHyperparameters(
                    mode="supervised", vector_dim=10, loss=loss, epochs=5, learning_rate=RATE,
                    buckets=options.buckets, min_count=1,
                )  # fmt: skip
                data = SupervisedData(examples, words, counts)
                judge_texts = Accuracy(
                    SupervisedData(held_out, words, counts), settings, options.threads
                )
                for place in ("cpu", "cuda"):
                    for seed in range(options.seeds):
                        run: Any
                        if place == "cpu":
                            run = SupervisedTraining(
                                data, settings, threads=options.threads, seed=seed
                            )
                        else:
                            run = start_classifier(data, settings, device, seed)
                        while not run.over:
                            run.run_epoch()
                        matrices = run.finish()
                        yield {
                            "mode": f"supervised, {loss}",
                            "device": place,
                            "words": examples.example_count,
                            "streams": len(run.position.random),
                            "seed": seed,
                            "loss": matrices.curve[-1].loss,
                            "seconds": sum(record.seconds for record in matrices.curve),
                            "precision": judge_texts(matrices.input, matrices.output),
                        }


PARTS = {
    "tests": run_tests,
    "memcheck": run_memcheck,
    "speed": measure_speed,
    "command": measure_command,
    "quality": measure_quality,
    "supervised": measure_supervised,
    "supervised_quality": measure_supervised_quality,
}
NEED_DATA = ("quality", "supervised_quality")


def open_report(file: Path, device: Any) -> dict[str, Any]:
    """Return what earlier pieces of the benchmark have found on this GPU, or the beginning of a report."""
    report: dict[str, Any] = {
        "device": {"name": device.name, "multiprocessors": device.multiprocessors, "cuda": device.driver},
        "driver": driver_version(),
        "machine": machine(),
        "runs": [],
        "entries": {},
    }  # fmt: skip
    if file.exists():
        earlier = json.loads(file.read_text(encoding="utf-8"))
        if all(earlier[name] == report[name] for name in ("device", "driver")):
            return dict(earlier)
    return report


def driver_version() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown: nvidia-smi is not on PATH"
    query = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.split("\n")[0]


def run_part(report: dict[str, Any], part: str, options: argparse.Namespace, device: Any) -> None:
    """Print entries as they come, and write the report after each: a benchmark that is cut off leaves what it measured."""
    entries = report["entries"].setdefault(part, {})
    for entry in PARTS[part](options, device):
        print(part, json.dumps(entry), flush=True)
        # A case that was measured before is replaced.
        case = [entry.get(name) for name in ("tool", "mode", "dim", "device", "words", "seed")]
        case.append(entry.get("streams_a_multiprocessor", entry.get("streams")))
        entries[" ".join(str(value) for value in case if value is not None)] = entry
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def print_tables(report: dict[str, Any]) -> None:
    """Print what is for the README."""
    print(f"\n{report['device']['name']}, driver {report['driver']}\n")
    print("| mode | dim | streams | M words/s (least to greatest) | of the ceiling |")
    print("|---|---|---|---|---|")
    entries = report["entries"]
    for entry in [*entries.get("speed", {}).values(), *entries.get("supervised", {}).values()]:
        share = entry["share_of_ceiling"]
        rates = [entry[name] / 1e6 for name in ("words_per_second", "least", "greatest")]
        streams = min(entry["limits"].values())
        print(
            f"| {entry['mode']} | {entry['dim']} | {streams} | {rates[0]:.2f} ({rates[1]:.2f} to {rates[2]:.2f}) "
            f"| {'' if share is None else f'{share:.0%}'} |"
        )
    print(
        "\n| mode | device | streams | WS-353 | SimLex-999 | analogies |\n|---|---|---|---|---|---|"
    )
    for entry in entries.get("quality", {}).values():
        scores = " | ".join(f"{entry[name]:.3f}" for name in ("WS-353", "SimLex-999", "analogies"))
        print(f"| {entry['mode']} | {entry['device']} | {entry['streams']} | {scores} |")
    print("\n| mode | device | texts | streams | precision at one |\n|---|---|---|---|---|")
    for entry in entries.get("supervised_quality", {}).values():
        print(
            f"| {entry['mode']} | {entry['device']} | {entry['words']} | {entry['streams']} | {entry['precision']:.3f} |"
        )


def main(argv: list[str] | None = None) -> int:
    parser = cli.ArgumentParser(prog="cuda_word2vec.py", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=None, help="default: all parts")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES), metavar="MODE")
    parser.add_argument("--dims", type=int, nargs="+", default=[100, 300], help="default: 100 300")
    parser.add_argument(
        "--streams", type=int, nargs="+", default=[2, 4, 8, 16, 32], metavar="N",
        help="streams a multiprocessor (default: 2 4 8 16 32)",
    )  # fmt: skip
    parser.add_argument(
        "--tokens", type=int, default=50_000_000, help="of the made-up text (default: %(default)s)"
    )
    parser.add_argument("--words", type=int, help="of Wikipedia (default: all)")
    parser.add_argument(
        "--buckets", type=int, default=2_000_000, help="of the classifier (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="of the CPU's side"
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="runs that quality is judged on (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="default: %(default)s")
    options = parser.parse_args(argv)
    from kftext.blazingtext.cuda.device import find_devices

    device = find_devices()[0]
    print(device, flush=True)
    parts = options.only or [
        part for part in PARTS if part not in NEED_DATA or "KFTEXT_DATA" in os.environ
    ]
    if not options.only and "quality" not in parts:
        print("KFTEXT_DATA is not set (docs/data.md): quality is not measured", flush=True)
    report = open_report(options.output, device)
    words = sys.argv[1:] if argv is None else argv
    for part in parts:
        begin = time.monotonic()
        run_part(report, part, options, device)
        report["runs"].append({
            "part": part,
            "command": " ".join(["python tests/benchmarks/cuda_word2vec.py", *words]),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - begin),
        })  # fmt: skip
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print_tables(report)
    checks = [
        *report["entries"].get("tests", {}).values(),
        *report["entries"].get("memcheck", {}).values(),
    ]
    return 0 if all(entry.get("passed", True) for entry in checks) else 1


if __name__ == "__main__":
    sys.exit(cli.run(main))
