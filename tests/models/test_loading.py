"""Opening models: folders, files, vectors as text; model.json."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import kftext
from kftext.errors import ModelFormatError, StorageError
from kftext.models import Classifier, Loss, Model, ModelMetadata, WordVectors, load, write_model
from kftext.models.word2vec_text import read_binary, read_text, write_binary, write_text
from models.making import WORDS, make_model


@pytest.mark.parametrize("name", ["model.bin", "model.ftz", "lid.176.ftz", "cc.en.300.bin"])
def test_a_folder_with_one_binary(tmp_path, name):
    write_model(make_model(), tmp_path / name)
    (tmp_path / "README.md").write_text("a model")
    assert isinstance(load(tmp_path), Classifier)
    assert isinstance(load(str(tmp_path / name)), Classifier)


def test_the_binary_is_taken_before_the_text(tmp_path):
    model = make_model(Model.SKIPGRAM, Loss.NS, subwords=(3, 6))
    write_model(model, tmp_path / "vectors.bin")
    write_text(tmp_path / "vectors.txt", WORDS, WordVectors(model).all_vectors())
    loaded = load(tmp_path)
    assert isinstance(loaded, WordVectors)
    assert loaded.has_subwords
    (tmp_path / "vectors.bin").unlink()
    assert not load(tmp_path).has_subwords


def test_model_json_says_which(tmp_path):
    write_model(make_model(), tmp_path / "a.bin")
    write_model(make_model(Model.CBOW), tmp_path / "b.bin")
    with pytest.raises(ModelFormatError, match=r"a\.bin, b\.bin"):
        load(tmp_path)
    ModelMetadata(kind="word-vectors", files={"vectors": "b.bin"}).write(tmp_path)
    assert isinstance(load(tmp_path), WordVectors)
    ModelMetadata(kind="word-vectors", files={"vectors": "c.bin"}).write(tmp_path)
    with pytest.raises(ModelFormatError, match=r"c\.bin, which is not there"):
        load(tmp_path)


def test_nothing_to_open(tmp_path):
    with pytest.raises(StorageError, match="no such file"):
        load(tmp_path / "absent")
    with pytest.raises(ModelFormatError, match="no model in this folder"):
        load(tmp_path)


def test_metadata_round_trip(tmp_path):
    metadata = ModelMetadata(
        kind="text-classifier",
        hyperparameters={"mode": "supervised", "epochs": 5, "learning_rate": 0.05},
        metrics={"train_accuracy": 0.9866},
        files={"model": "model.bin"},
    )
    metadata.write(tmp_path)
    assert ModelMetadata.read(tmp_path) == metadata
    content = json.loads((tmp_path / "model.json").read_text())
    assert content["kftext_version"] == kftext.__version__
    assert (content["format_version"], content["algorithm"]) == (1, "blazingtext")
    assert ModelMetadata.read(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "JSON"),
        ('{"kind": "speech"}', "kind"),
        ('{"kind": "word-vectors", "format_version": 2}', "later kftext"),
        ('{"kind": "word-vectors", "files": {"model": "../../etc/passwd"}}', "outside"),
        ('{"kind": "word-vectors", "files": {"model": "/etc/passwd"}}', "outside"),
    ],
)
def test_wrong_metadata(tmp_path, content, message):
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(ModelFormatError, match=message):
        ModelMetadata.read(tmp_path)


NAMES = [b"</s>", b"the", "übér".encode(), "a\u00a0b".encode()]


def vectors() -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 7)).astype(np.float32)
    values[0, :4] = [0, 1e-30, 3.4e38, -1]
    return values


@pytest.mark.parametrize("header", [True, False])
def test_text_brings_each_number_back(tmp_path, header):
    write_text(tmp_path / "v.txt", NAMES, vectors(), header=header)
    words, matrix = read_text(tmp_path / "v.txt")
    assert words == NAMES
    np.testing.assert_array_equal(matrix, vectors())
    first = (tmp_path / "v.txt").read_bytes().split(b"\n")[0]
    assert (first == b"4 7") == header


def test_binary_brings_each_number_back(tmp_path):
    write_binary(tmp_path / "v.bin", NAMES, vectors())
    words, matrix = read_binary(tmp_path / "v.bin")
    assert words == NAMES
    np.testing.assert_array_equal(matrix, vectors())


def test_gensim_reads_both(tmp_path):
    keyed_vectors = pytest.importorskip("gensim.models").KeyedVectors
    write_text(tmp_path / "v.txt", NAMES[:3], vectors()[:3])
    write_binary(tmp_path / "v.bin", NAMES[:3], vectors()[:3])
    for name, binary in (("v.txt", False), ("v.bin", True)):
        read = keyed_vectors.load_word2vec_format(str(tmp_path / name), binary=binary)
        assert [word.encode() for word in read.index_to_key] == NAMES[:3]
        np.testing.assert_array_equal(read.vectors, vectors()[:3])
    read.save_word2vec_format(str(tmp_path / "g.bin"), binary=True)
    words, matrix = read_binary(tmp_path / "g.bin")
    assert words == NAMES[:3]
    np.testing.assert_array_equal(matrix, vectors()[:3])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("2 3\na 1 2 3\n", "2 words expected, 1 found"),
        ("2 3\na 1 2 3\nb 1 2\n", r":3: expected a word and 3 numbers"),
        ("1 3\na 1 x 3\n", r":2: expected a word and 3 numbers"),
        ("", "truncated"),
        ("word\n", r":1: expected a word"),
    ],
)
def test_wrong_text(tmp_path, content, message):
    (tmp_path / "v.txt").write_text(content)
    with pytest.raises(ModelFormatError, match=message):
        read_text(tmp_path / "v.txt")


@pytest.mark.parametrize("content", [b"", b"x\n", b"9999999999 300\nabc", b"2 1\na \0\0\0\0b"])
def test_wrong_binary(tmp_path, content):
    (tmp_path / "v.bin").write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"v\.bin: "):
        read_binary(tmp_path / "v.bin")


def test_what_can_not_be_written(tmp_path):
    with pytest.raises(ModelFormatError, match="white space"):
        write_text(tmp_path / "v.txt", ["a b"], np.ones((1, 2), dtype=np.float32))
    with pytest.raises(ModelFormatError, match="not finite"):
        write_text(tmp_path / "v.txt", ["a"], np.full((1, 2), np.nan, dtype=np.float32))
    with pytest.raises(ModelFormatError, match="1 words"):
        write_binary(tmp_path / "v.bin", ["a"], np.ones((2, 2), dtype=np.float32))
    assert list(tmp_path.iterdir()) == []


def test_the_real_models_open_from_a_folder(data_dir, tmp_path):
    shutil.copy(data_dir / "fasttext_models" / "lid.176.ftz", tmp_path)
    assert load(tmp_path).predict(["Guten Tag, wie geht es Ihnen heute?"])[0].labels == [
        "__label__de"
    ]
