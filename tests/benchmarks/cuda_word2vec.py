"""Word2Vec on a GPU, all that needs one: the tests, the memory checker, words/s, and quality beside the CPU's.

    python tests/benchmarks/cuda_word2vec.py                            # about 10 minutes; a made-up text
    KFTEXT_DATA=data python tests/benchmarks/cuda_word2vec.py           # and WS-353 and analogies on Wikipedia
    python tests/benchmarks/cuda_word2vec.py --only speed --dims 100 --streams 4 8 16

Writes tests/benchmarks/results/cuda_word2vec.json, with the GPU, its driver and the command. A word is a raw token of an epoch. The share
is of the words/s at which the GPU could do nothing but move rows between its memory and its processors, or nothing but multiply and
add, whichever is less. Without a GPU it says why and ends with 1.
"""

from __future__ import annotations

import json
import lzma
import os
import re
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

from kftext import cli

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "cuda_word2vec.json"
PARTS = ("tests", "memcheck", "speed", "quality")
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
    "batch_skipgram": {"mode": "batch_skipgram"},
    "cbow": {"mode": "cbow"},
    "skipgram, subwords": {"mode": "skipgram", "subwords": True},
}


def run_tests() -> dict[str, Any]:
    """Run the tests that need a GPU, as pytest."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "gpu",
        str(HERE.parent / "blazingtext" / "cuda"),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    print(result.stdout, flush=True)
    return {"passed": result.returncode == 0, "summary": result.stdout.strip().splitlines()[-1:]}


def run_memcheck() -> dict[str, Any]:
    """Run some of them under NVIDIA's memory and race checker."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        return {"skipped": "compute-sanitizer is not on PATH: it is part of the CUDA toolkit"}
    tests = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "gpu",
        "-k",
        "17",
        str(HERE.parent / "blazingtext" / "cuda"),
    ]
    found = {}
    for tool in ("memcheck", "racecheck", "synccheck"):
        command = [
            program,
            "--tool",
            tool,
            "--target-processes",
            "all",
            "--error-exitcode",
            "9",
            *tests,
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        print(result.stdout[-2000:], flush=True)
        found[tool] = {
            "passed": result.returncode == 0,
            "summary": result.stdout.strip().splitlines()[-2:],
        }
    return found


def made_up_corpus(tokens: int, words: int = 400_000) -> tuple[Any, np.ndarray]:
    """Return lines of 25 words by Zipf's law, and counts: enough for speed, which does not ask what words mean."""
    from kftext.blazingtext.encoded import EncodedCorpus

    generator = np.random.default_rng(1)
    cumulated = np.cumsum(1 / np.arange(1, words + 1))
    ids = np.searchsorted(cumulated, generator.random(tokens) * cumulated[-1]).astype(np.int32)
    counts = np.sort(np.bincount(ids, minlength=words))[::-1].astype(np.int64)
    offsets = np.append(np.arange(0, tokens, 25), tokens)
    return EncodedCorpus(ids, offsets, tokens), counts


def settings_for(mode: dict[str, Any], dim: int, epochs: int) -> Any:
    from kftext.blazingtext.hyperparameters import Word2VecHyperparameters

    return Word2VecHyperparameters(
        **{"vector_dim": dim, "epochs": epochs, "learning_rate": 0.025, **mode}
    )


def most_words_a_second(name: str, settings: Any, kept: float) -> float | None:
    """Return raw words/s at the GPU's peaks, by the traffic and the arithmetic of each kept word; None for an unknown GPU."""
    peaks = next((peaks for known, peaks in PEAKS.items() if known in name), None)
    if peaks is None or settings.subwords:
        return None
    contexts, outputs = settings.window_size + 1, 1 + settings.negative_samples
    # Each row is read and added to; CBOW trains one vector a window. Each input and output row meet for a score and two changes.
    groups = contexts if settings.exact else 1
    rows = 2 * (contexts + groups * outputs)
    meetings = outputs if settings.mode == "cbow" else contexts * outputs
    dim = settings.vector_dim
    return min(peaks[0] / (6 * dim * meetings), peaks[1] / (4 * dim * rows)) / kept


def measure_speed(
    device: Any, dims: list[int], streams: list[int], tokens: int
) -> Iterator[dict[str, Any]]:
    """Yield words/s by mode, dimension and streams a multiprocessor: the median of three epochs after the first, which compiles."""
    from kftext.blazingtext.cuda import launch
    from kftext.blazingtext.cuda.training import CudaWord2VecTraining
    from kftext.blazingtext.kernels.sampling import keep_thresholds
    from kftext.blazingtext.subwords import compute_subwords

    corpus, counts = made_up_corpus(tokens)
    keep = keep_thresholds(counts, tokens, 1e-4) / 2**32
    kept = float((counts * keep).sum() / counts.sum())
    subwords = compute_subwords([b"w%06d" % n for n in range(len(counts))], 3, 6, 2_000_000)
    chosen = launch.STREAMS_A_MULTIPROCESSOR
    for mode_name, mode in MODES.items():
        for dim in dims:
            for per_multiprocessor in sorted({*streams, chosen}):
                launch.STREAMS_A_MULTIPROCESSOR = per_multiprocessor
                settings = settings_for(mode, dim, epochs=4)
                made_of = subwords if settings.subwords else None
                training = CudaWord2VecTraining(corpus, counts, settings, made_of, devices=[device])
                seconds = [training.run_epoch().seconds for _ in range(4)][1:]
                rate = tokens / float(np.median(seconds))
                ceiling = most_words_a_second(device.name, settings, kept)
                yield {
                    "mode": mode_name,
                    "dim": dim,
                    "streams_a_multiprocessor": per_multiprocessor,
                    "streams": training.limits[0].streams,
                    "limits": asdict(training.limits[0]),
                    "words_per_second": rate,
                    "epoch_seconds": seconds,
                    "ceiling": ceiling,
                    "share_of_ceiling": rate / ceiling if ceiling else None,
                }
    launch.STREAMS_A_MULTIPROCESSOR = chosen


def write_wikipedia(source: Path, target: Path) -> None:
    """Write the words of an extracted Wikipedia, in lower case."""
    word = re.compile(r"[a-z]+")
    with (
        lzma.open(source, "rt", encoding="utf-8") as lines,
        target.open("w", encoding="utf-8") as out,
    ):
        for line in lines:
            if not line.startswith(("<doc", "</doc")) and (words := word.findall(line.lower())):
                out.write(" ".join(words) + "\n")


def measure_quality(device: Any, data: Path, threads: int, seeds: int) -> Iterator[dict[str, Any]]:
    """Yield WS-353 and the share of analogies solved, of the CPU and of the GPU with as many streams as it bears and with fewer."""
    from kftext.blazingtext.corpus import Reading, read_corpus
    from kftext.blazingtext.cuda import launch
    from kftext.blazingtext.cuda.training import CudaWord2VecTraining
    from kftext.blazingtext.vocabulary import VocabularyRules
    from kftext.blazingtext.word2vec import Word2VecTraining

    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "wikipedia.txt"
        write_wikipedia(data / "corpus" / "enwiki2015_AA.txt.xz", text)
        vocabulary, corpus = read_corpus([str(text)], VocabularyRules(5), Reading(threads))
    chosen = launch.STREAMS_A_MULTIPROCESSOR
    for mode_name in ("skipgram", "batch_skipgram", "cbow"):
        for per_multiprocessor in (None, 1, chosen, 4 * chosen):
            for seed in range(seeds):
                settings = settings_for(MODES[mode_name], 100, epochs=3).model_copy(
                    update={"learning_rate": 0.05}
                )
                training: Any
                if per_multiprocessor is None:
                    training = Word2VecTraining(
                        corpus, vocabulary.counts, settings, threads=threads, seed=seed
                    )
                else:
                    launch.STREAMS_A_MULTIPROCESSOR = per_multiprocessor
                    training = CudaWord2VecTraining(
                        corpus, vocabulary.counts, settings, devices=[device], seed=seed
                    )
                while training.position.epoch < settings.epochs:
                    training.run_epoch()
                yield {
                    "mode": mode_name,
                    "device": "cpu" if per_multiprocessor is None else "cuda",
                    "streams": threads
                    if per_multiprocessor is None
                    else training.limits[0].streams,
                    "seed": seed,
                    "loss": training.curve[-1].loss,
                    "seconds": sum(record.seconds for record in training.curve),
                    **scores(vocabulary.words, training.finish().input, data / "wordsim"),
                }
    launch.STREAMS_A_MULTIPROCESSOR = chosen


def scores(words: list[bytes], vectors: np.ndarray, folder: Path) -> dict[str, float]:
    """Return Spearman's rho on WS-353 and the share of Google's analogies, among the 30,000 most frequent words, that are solved."""
    from scipy.stats import spearmanr

    index = {word.decode(): i for i, word in enumerate(words)}
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    told, found = [], []
    for line in (folder / "EN-WS-353-ALL.txt").read_text(encoding="utf-8").splitlines():
        first, second, *score = line.lower().split()
        if score and first in index and second in index:
            told.append(float(score[0]))
            found.append(float(unit[index[first]] @ unit[index[second]]))
    frequent = unit[:30_000]
    questions = np.array(
        [
            [index[word] for word in line.lower().split()]
            for line in (folder / "questions-words.txt").read_text(encoding="utf-8").splitlines()
            if not line.startswith(":")
            and all(index.get(word, 30_000) < 30_000 for word in line.lower().split())
        ]
    )
    solved = 0
    for part in np.array_split(questions, max(len(questions) // 1000, 1)):
        wanted = unit[part[:, 1]] - unit[part[:, 0]] + unit[part[:, 2]]
        likeness = wanted @ frequent.T
        np.put_along_axis(likeness, part[:, :3], -np.inf, axis=1)
        solved += int((likeness.argmax(axis=1) == part[:, 3]).sum())
    return {"ws353": float(spearmanr(told, found)[0]), "analogies": solved / max(len(questions), 1)}


def collect(report: dict[str, Any], name: str, entries: Iterator[dict[str, Any]]) -> None:
    """Print entries as they come, and write the report after each: a benchmark that is cut off leaves what it measured."""
    report[name] = []
    for entry in entries:
        print(json.dumps(entry), flush=True)
        report[name].append(entry)
        write(report)


def write(report: dict[str, Any]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    parser = cli.ArgumentParser(prog="cuda_word2vec.py", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, help="parts to run (default: all)"
    )
    parser.add_argument("--dims", type=int, nargs="+", default=[100, 300], help="default: 100 300")
    parser.add_argument(
        "--streams",
        type=int,
        nargs="+",
        default=[2, 4, 8, 16, 32],
        help="streams a multiprocessor (default: 2 4 8 16 32)",
    )
    parser.add_argument(
        "--tokens", type=int, default=50_000_000, help="of the made-up text (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="of the CPU's side"
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="runs that quality is judged on (default: %(default)s)"
    )
    options = parser.parse_args(argv)
    from kftext.blazingtext.cuda.device import find_devices

    device = find_devices()[0]
    print(device, flush=True)
    report: dict[str, Any] = {
        "command": " ".join(
            ["python", "tests/benchmarks/cuda_word2vec.py", *(argv or sys.argv[1:])]
        ),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": asdict(device),
    }
    start = time.monotonic()
    if "tests" in options.only:
        report["tests"] = run_tests()
    if "memcheck" in options.only:
        report["memcheck"] = run_memcheck()
    if "speed" in options.only:
        collect(
            report, "speed", measure_speed(device, options.dims, options.streams, options.tokens)
        )
    if "quality" in options.only:
        data = os.environ.get("KFTEXT_DATA")
        if data:
            collect(
                report,
                "quality",
                measure_quality(device, Path(data), options.threads, options.seeds),
            )
        else:
            report["quality"] = "KFTEXT_DATA is not set (docs/data.md)"
    report["seconds"] = round(time.monotonic() - start)
    write(report)
    return 0 if report.get("tests", {}).get("passed", True) else 1


if __name__ == "__main__":
    sys.exit(cli.run(main))
