"""Fill a cache of compiled kernels for each kind of CPU: `warm.py FOLDER`, in the build stage of an image.

Small models of every kind are trained and asked on this machine's CPU, which tells the types that each kernel is called with. Then
each kernel is compiled for each level of the x86-64 psABI, in a process of its own: compiled, not run, so that the building machine
need not have the CPU.
"""

import importlib
import multiprocessing
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

LEVELS = ("x86-64-v3", "x86-64-v4")
SENTENCES = [
    f"the {word} of a {other} was not {word}"
    for word in ["good", "bad", "fine"]
    for other in ["movie", "book"]
]

Signatures = list[tuple[str, str, Any]]


def run_everything(folder: Path) -> None:
    """Train and ask models, as the commands and the server do."""
    from kftext import models
    from kftext.blazingtext import train
    from kftext.models.compiled.threads import run

    corpus, labelled = folder / "corpus.txt", folder / "labelled.txt"
    corpus.write_text("\n".join(SENTENCES * 20) + "\n")
    labelled.write_text(
        "\n".join(f"__label__{i % 3} {line}" for i, line in enumerate(SENTENCES * 20)) + "\n"
    )
    small = [
        "--vector_dim",
        "10",
        "--epochs",
        "1",
        "--min_count",
        "1",
        "--buckets",
        "1000",
        "--seed",
        "1",
        "--threads",
        "2",
    ]
    jobs = [["--mode", mode] for mode in ("cbow", "skipgram", "batch_skipgram")]
    jobs += [["--mode", mode, "--subwords", "True"] for mode in ("cbow", "skipgram")]
    for number, job in enumerate(jobs):
        train.main(
            [
                "--train",
                str(corpus),
                "--model-dir",
                str(folder / f"v{number}"),
                "--evaluation",
                "False",
                *job,
                *small,
            ]
        )
    for number in range(len(jobs)):
        vectors = models.load(folder / f"v{number}")
        vectors.warm_up()
        models.ask(vectors, models.Output.VECTORS, ["good", "movie"])
    for loss in ("softmax", "hs", "ns", "ova"):
        place = str(folder / loss)
        train.main(
            [
                "--train",
                str(labelled),
                "--validation",
                str(labelled),
                "--model-dir",
                place,
                "--mode",
                "supervised",
                "--loss",
                loss,
                *small,
            ]
        )
        predictor = models.load(place)
        if not isinstance(predictor, models.Classifier):
            raise SystemExit(f"{place}: no classifier")
        predictor.warm_up()
        for k in (1, 2):
            predictor.predict(SENTENCES * 200, k=k)
            predictor.predict(SENTENCES[:1], k=k)
        job = predictor.json_job(SENTENCES)
        if job is not None:
            run(job)
    ask_lookup()


def ask_lookup() -> None:
    """Ask what answers in place of a TensorFlow model over word vectors."""
    import numpy as np

    from kftext.text_classification.compiled_lookup import CompiledLookup
    from kftext.text_classification.word_vector_lookup import LookupClassifier, WordVectorLookup

    table, weights = np.ones((3, 4), np.float32), np.ones(3, np.float32)
    lookup = WordVectorLookup([b"good", b"bad"], table, weights, None)
    oracle = LookupClassifier(lookup, np.ones((4, 2), np.float32), np.zeros(2, np.float32))
    for compiled in (CompiledLookup(lookup), CompiledLookup(oracle, ["down", "up"])):
        compiled(SENTENCES)
    compiled.first(SENTENCES[0])
    compiled.predict_json(SENTENCES[0].encode(), 1, 0.0, 0)


def called() -> Signatures:
    """What was compiled in this process: module, name and argument types of each kernel that is cached."""
    from numba.core.caching import NullCache
    from numba.core.dispatcher import Dispatcher

    found = []
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] == "kftext":
            for attribute, value in vars(module).items():
                own = isinstance(value, Dispatcher) and value.py_func.__module__ == name
                if own and not isinstance(value._cache, NullCache):
                    found += [(name, attribute, signature) for signature in value.signatures]
    return found


def compile_each(signatures: Signatures) -> int:
    """Compile kernels without running them; they go to the cache."""
    from kftext.models.compiled.predict import CompiledClassifier
    from kftext.text_classification.compiled_lookup import CompiledLookup

    for module, name, signature in signatures:
        getattr(importlib.import_module(module), name).compile(signature)
    callbacks = [CompiledClassifier.json_callback, CompiledLookup.json_callback]
    return len(signatures) + sum(callback.address != 0 for callback in callbacks)


def main() -> None:
    """Run the command."""
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        os.environ["NUMBA_CACHE_DIR"] = str(Path(name, "numba"))
        run_everything(Path(name))
        signatures = called()
        if not signatures:
            raise SystemExit("no kernel was compiled")
        if platform.machine() != "x86_64":
            # Other machines have no levels here: the kernels are compiled at first use.
            print(f"{platform.machine()}: no cache", file=sys.stderr)  # noqa: T201
            return
        for level in LEVELS:
            os.environ.update(
                NUMBA_CACHE_DIR=str(target / level), NUMBA_CPU_NAME=level, NUMBA_CPU_FEATURES=""
            )
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                count = pool.apply(compile_each, (signatures,))
            size = sum(
                file.stat().st_size for file in (target / level).rglob("*") if file.is_file()
            )
            print(f"{level}: {count} kernels, {size / 1e6:.1f} MB")  # noqa: T201


if __name__ == "__main__":
    main()
