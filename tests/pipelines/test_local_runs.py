"""The pipelines, run for real by kfp.local: from a text file to a packaged model, or to one clear message."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from kftext import models

PIPELINES = Path(__file__).parents[2] / "pipelines"


@dataclass
class Run:
    """A finished command, and the folder of what it wrote."""

    done: subprocess.CompletedProcess[str]
    root: Path

    @property
    def folder(self) -> Path:
        (folder,) = self.root.iterdir()
        return folder

    @property
    def artifacts(self) -> dict[str, Path]:
        lines = [line.split(": ", 1) for line in self.done.stdout.splitlines() if ": /" in line]
        return {name: Path(path) for name, path in lines}


def run(pipeline: str, root: Path, **parameters: object) -> Run:
    flags = [f"--{name}={value}" for name, value in parameters.items()]
    command = [
        sys.executable,
        str(PIPELINES / f"{pipeline}.py"),
        "--local",
        "--root",
        str(root),
        *flags,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, cwd=root.parent)
    return Run(done, root)


@pytest.fixture(scope="module")
def word_vectors(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("word-vectors")
    registry = root.with_name("registry")
    result = run(
        "word_vectors",
        root,
        data_uri=corpus,
        vector_dim=20,
        min_count=2,
        epochs=20,
        registry_uri=registry,
        model_name="words",
    )
    assert result.done.returncode == 0, result.done.stdout + result.done.stderr
    return result


@pytest.fixture(scope="module")
def classifier(labeled_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("classifier")
    result = run(
        "blazingtext_classifier",
        root,
        data_uri=labeled_text,
        validation_split_ratio=0.2,
        vector_dim=20,
        learning_rate=0.5,
        min_count=1,
        epochs=10,
        buckets=10000,
        min_accuracy=0.5,
        traffic_percent=0,
    )
    assert result.done.returncode == 0, result.done.stdout + result.done.stderr
    return result


def unpacked(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        assert all("/" not in name for name in tar.getnames()), "the archive is flat"
        tar.extractall(folder, filter="data")
    return folder


def test_word_vectors_writes_every_artifact(word_vectors: Run) -> None:
    model = word_vectors.artifacts["model"]
    assert {"vectors.bin", "vectors.txt", "model.json", "eval.json"} <= {
        file.name for file in model.iterdir()
    }
    for report in ("validation_report", "evaluation_report"):
        assert word_vectors.artifacts[report].read_text().startswith("<!doctype html>")
    header = (model / "vectors.txt").open().readline().split()
    assert header == [str(len(models.load(model).words)), "20"]


def test_word_vectors_archive_serves_what_was_trained(word_vectors: Run, tmp_path: Path) -> None:
    archive = word_vectors.artifacts["archive"] / "model.tar.gz"
    (version,) = word_vectors.root.with_name("registry").glob("words/*")
    assert (version / "model.tar.gz").read_bytes() == archive.read_bytes()
    trained = models.load(word_vectors.artifacts["model"])
    packed = models.load(unpacked(archive, tmp_path))
    assert isinstance(trained, models.WordVectors)
    assert isinstance(packed, models.WordVectors)
    assert packed.words == trained.words
    word = trained.words[5]
    assert (packed.vector(word) == trained.vector(word)).all()
    # Ten thousand words of text suffice for this much: a word's neighbours are not its opposites.
    assert all(cosine > 0 for _, cosine in trained.nearest_neighbors(word, 3))


def test_word_vectors_are_registered_with_a_card_deployed_and_asked(word_vectors: Run) -> None:
    (version,) = word_vectors.root.with_name("registry").glob("words/*")
    assert {file.name for file in version.iterdir()} == {
        "model.tar.gz",
        "model.json",
        "evaluation.json",
        "model_card.md",
    }
    card = (version / "model_card.md").read_text()
    assert card == word_vectors.artifacts["model_card"].read_text()
    (inputs,) = word_vectors.folder.glob("resolve-inputs/inputs")
    digest = orjson.loads(inputs.read_bytes())["data"]["digest"]
    for said in (
        "# words",
        version.name,
        "| vector_dim | 20 |",
        "| mean_rho |",
        digest[:16],
        "| kftext |",
    ):
        assert said in card, said
    assert "it answers; to serve it: python -m kftext.serving" in word_vectors.done.stdout
    assert "succeeded" in word_vectors.artifacts["run_report"].read_text()


def test_a_model_below_the_minimum_goes_no_further(tmp_path: Path, labeled_text: Path) -> None:
    result = run(
        "blazingtext_classifier",
        tmp_path / "root",
        data_uri=labeled_text,
        epochs=1,
        buckets=1000,
        vector_dim=10,
        min_accuracy=0.999,
        registry_uri=tmp_path / "registry",
    )
    assert result.done.returncode == 1
    last = result.done.stderr.splitlines()[-1]
    assert re.fullmatch(
        r"error: accuracy is 0\.\d+, below the minimum of 0\.999: the model is neither registered nor deployed",
        last,
    )
    steps = {path.name for path in result.folder.iterdir()}
    assert "evaluate-classifier" in steps
    assert not {"package-model", "register-model", "deploy"} & steps
    assert not (tmp_path / "registry").exists()
    # The last step ran all the same, and its page says what the command said.
    assert last.removeprefix("error: ") in (result.folder / "report-run/report").read_text()


def test_word_vectors_evaluation_agrees_with_trainings_own(word_vectors: Run) -> None:
    (evaluation,) = word_vectors.folder.glob("evaluate-word-vectors/evaluation")
    measured = orjson.loads(evaluation.read_bytes())
    trained = orjson.loads((word_vectors.artifacts["model"] / "eval.json").read_bytes())
    assert measured["EN-WS-353-ALL.txt"]["total_pairs"] == 353
    assert measured["EN-WS-353-ALL.txt"]["not_found"] == trained["EN-WS-353-ALL.txt"]["not_found"]
    assert measured["mean_rho"] == pytest.approx(trained["mean_rho"], abs=1e-4)


def test_the_classifier_beats_the_commonest_label_on_held_out_text(classifier: Run) -> None:
    (evaluation,) = classifier.folder.glob("evaluate-classifier/evaluation")
    measured = orjson.loads(evaluation.read_bytes())
    assert measured["held_out"] is True
    assert measured["examples"] > 100
    assert measured["accuracy"] > measured["commonest_label_accuracy"] + 0.15


def test_the_classifiers_archive_predicts(classifier: Run, tmp_path: Path) -> None:
    model = models.load(unpacked(classifier.artifacts["archive"] / "model.tar.gz", tmp_path))
    assert isinstance(model, models.Classifier)
    assert set(model.labels) == {"__label__asyncio", "__label__email", "__label__unittest"}
    (prediction,) = model.predict(["return the event loop for the current context"], k=3)
    assert prediction.labels[0] == "__label__asyncio"
    assert sum(prediction.probabilities) == pytest.approx(1, abs=1e-3)


def test_no_sentence_is_both_trained_on_and_measured(classifier: Run) -> None:
    (folder,) = classifier.folder.glob("*/dataset")
    dataset = orjson.loads((folder / "dataset.json").read_bytes())
    train, validation = (
        set((folder / dataset[part]).read_text().splitlines()) for part in ("train", "validation")
    )
    assert train
    assert validation
    assert not train & validation


GOOD = b"__label__a one line of text\n__label__b another line of text\n"
BROKEN = {
    "empty": (b"", ": the data are empty (0 bytes)"),
    "binary": (bytes(range(256)) * 40, "not text"),
    "unlabelled lines": (GOOD * 5 + b"no label on this one\n", ":11: "),
    "header": (b"label,text\n" + GOOD * 5, ":1: "),
    "wrong encoding": (GOOD + "__label__a caf\u00e9 au lait\n".encode("latin-1"), ":3: "),
}


@pytest.mark.parametrize(("content", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_ends_in_one_clear_message(tmp_path: Path, content: bytes, said: str) -> None:
    data = tmp_path / "data.txt"
    data.write_bytes(content)
    result = run("blazingtext_classifier", tmp_path / "root", data_uri=data)
    assert result.done.returncode == 1
    assert "Traceback" not in result.done.stdout + result.done.stderr
    last = result.done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert str(data) in last
    assert said in last
    # Nothing of a model is left, and nothing half-written of anything else.
    names = {path.name for path in result.root.rglob("*")}
    assert not {"model.bin", "model.tar.gz", "dataset.json"} & names
    assert not {name for name in names if name.startswith(".") or name.endswith((".part", ".tmp"))}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"vector_dim": 0}, "error: hyperparameter vector_dim=0: expected an integer > 0"),
        ({"base_model": "missing.bin"}, "error: no such file or folder: missing.bin"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_parameter_is_named(
    tmp_path: Path, corpus: Path, parameters: dict[str, object], message: str
) -> None:
    result = run("word_vectors", tmp_path / "root", data_uri=corpus, **parameters)
    assert result.done.returncode == 1
    assert result.done.stderr.splitlines()[-1].startswith(message)


def test_a_crash_in_a_step_is_no_silence(tmp_path: Path, corpus: Path) -> None:
    blocked = tmp_path / "numba"
    blocked.mkdir()
    (blocked / "__init__.py").write_text("raise RuntimeError('no such luck')")
    command = [
        sys.executable,
        str(PIPELINES / "word_vectors.py"),
        "--local",
        "--root",
        str(tmp_path / "root"),
    ]
    done = subprocess.run(
        [*command, f"--data_uri={corpus}"],
        capture_output=True,
        text=True,
        timeout=1800,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 1
    assert "RuntimeError: no such luck" in done.stdout
    assert "train-blazingtext" in done.stderr.splitlines()[-1]
