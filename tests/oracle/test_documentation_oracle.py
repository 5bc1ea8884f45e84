"""A script written for the fasttext package, run by the real one as it stands, and here with the import changed."""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kftext import fasttext
from oracle.conftest import ENVIRONMENT

pytestmark = pytest.mark.oracle

SCRIPT = Path(__file__).with_name("documentation_examples.py")
IMPORTS = {
    "import fasttext.util\n": "",
    "import fasttext\n": "from kftext import fasttext\n",
}


def run(python, script, inputs, folder):
    folder.mkdir()
    command = [python, script, *inputs, folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def results(oracle, data_dir, tmp_path_factory):
    """What the real package and ours answer, and the folders with the models that they saved."""
    folder = tmp_path_factory.mktemp("documentation")
    inputs = [data_dir / "cooking" / f"cooking.{part}.txt" for part in ("train", "valid")]
    with lzma.open(data_dir / "corpus" / "enwiki2015_AA.txt.xz") as file:
        (folder / "corpus.txt").write_bytes(file.read(700_000))
    inputs.append(folder / "corpus.txt")
    source = SCRIPT.read_text()
    for theirs, ours in IMPORTS.items():
        assert source.count(theirs) == 1
        source = source.replace(theirs, ours)
    (folder / "ours.py").write_text(source)
    real = run(ENVIRONMENT / "bin" / "python", SCRIPT, inputs, folder / "real")
    return real, run(sys.executable, folder / "ours.py", inputs, folder / "ours"), folder


def test_same_kinds_of_answers(results):
    real, ours, _ = results
    assert ours["kinds"] == real["kinds"]


def test_same_answers(results):
    """What does not depend on chance is the same; accuracy is as good."""
    real, ours = (result["answers"] for result in results[:2])
    for name in (
        "is_quantized", "is_quantized after", "words of a classifier", "words of the corpus", "dimension",
        "subwords", "subword id", "word id", "matrices", "line", "tokens",
    ):  # fmt: skip
        assert ours[name] == real[name], name
    for name in ("test", "test k", "test quantized"):
        assert ours[name][0] == real[name][0]
        np.testing.assert_allclose(ours[name][1:], real[name][1:], atol=0.04)
    assert len(ours["neighbours"]) == len(ours["analogies"]) == 10
    assert ours["reduced"] == real["reduced"] == [5, [5]]


def test_same_models_answer_the_same(results):
    """Models that the real package trained and saved: our answers are those it gave."""
    real, _, folder = results
    answers = real["answers"]
    classifier = fasttext.load_model(folder / "real" / "model_cooking.bin")
    labels, probabilities = classifier.predict("Why not put knives in the dishwasher?", k=5)
    assert [list(labels), probabilities.tolist()] == [
        answers["predict k"][0],
        pytest.approx(answers["predict k"][1], abs=1e-5),
    ]
    vectors = fasttext.load_model(folder / "real" / "skipgram.bin")
    for name, found in {
        "vector": vectors["the"],
        "unknown word": vectors.get_word_vector("enviroment"),
        "sentence": vectors.get_sentence_vector("the king of france"),
        "input vector": vectors.get_input_vector(vectors.get_word_id("the")),
    }.items():
        np.testing.assert_allclose(found, answers[name], atol=1e-5)
    for name, pairs in {
        "neighbours": vectors.get_nearest_neighbors("city"),
        "neighbours k": vectors.get_nearest_neighbors("enviroment", k=3),
        "analogies": vectors.get_analogies("king", "man", "woman"),
    }.items():
        np.testing.assert_allclose([c for c, _ in pairs], [c for c, _ in answers[name]], atol=1e-5)
        # Words whose cosines agree to 1e-5 may change places.
        ours = {word: cosine for cosine, word in pairs}
        for cosine, word in answers[name]:
            assert abs(ours.get(word, answers[name][-1][0]) - cosine) < 1e-5, word
