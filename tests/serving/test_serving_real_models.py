"""Models that others have trained with fastText, served as they are."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from kftext.models import load
from serving.processes import Served


@pytest.fixture(scope="module")
def foreign(serve, data_dir) -> Served:
    """A quantized classifier, a dense one and word vectors, each a file with no model.json."""
    folder = data_dir / "fasttext_models"
    flags = []
    for name, file in {
        "languages": "lid.176.ftz",
        "cooking": "cooking.model.bin",
        "words": "finalfusion_sg_subword.bin",
    }.items():
        flags += ["--model_name", name, "--model_dir", str(folder / file)]
    return serve(*flags)


def test_a_quantized_model_answers_as_fasttext(foreign: Served, data_dir):
    oracle = orjson.loads((data_dir / "fasttext_models" / "lid.176.oracle.json").read_bytes())
    assert len(oracle) > 10
    body = {"instances": [one["text"] for one in oracle], "configuration": {"k": 5}}
    answer = foreign.predict("languages", body)
    for prediction, one in zip(answer.json()["predictions"], oracle, strict=True):
        assert prediction["label"] == one["labels"]
        assert prediction["prob"] == pytest.approx(one["probs"], abs=1e-5)


def test_every_answer_is_the_predictors(foreign: Served, data_dir):
    lines = (data_dir / "cooking" / "cooking.valid.txt").read_text().splitlines()[:300]
    texts = [
        " ".join(word for word in line.split() if not word.startswith("__label__"))
        for line in lines
    ]
    answer = foreign.predict("cooking", {"instances": texts, "configuration": {"k": 3}})
    expected = load(data_dir / "fasttext_models" / "cooking.model.bin").predict(texts, k=3)
    found = answer.json()["predictions"]
    assert [one["label"] for one in found] == [one.labels for one in expected]
    assert [one["prob"] for one in found] == [one.probabilities for one in expected]


def test_words_of_a_foreign_model(foreign: Served, data_dir):
    predictor = load(data_dir / "fasttext_models" / "finalfusion_sg_subword.bin")
    predictor.warm_up()
    words = [*predictor.words[:20], "unbekannteswort"]
    found = foreign.predict("words", {"instances": words}).json()["predictions"]
    vectors = np.array([one["vector"] for one in found], np.float32)
    np.testing.assert_array_equal(vectors, predictor.vectors(words))
    assert np.abs(vectors[-1]).sum() > 0
