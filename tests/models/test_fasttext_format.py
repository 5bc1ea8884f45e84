"""Reading and writing fastText's binaries: the bytes themselves, damage of every kind, mutations at random."""

from __future__ import annotations

import dataclasses
import random
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kftext.errors import KftextError, ModelFormatError, StorageError
from kftext.models import (
    Args,
    Classifier,
    DenseMatrix,
    Dictionary,
    FastTextModel,
    Loss,
    Model,
    WordVectors,
    load,
    read_model,
    write_model,
)
from models.making import WORDS, make_model

KINDS = {
    "plain": {},
    "ngrams": {"word_ngrams": 3, "subwords": (2, 4)},
    "hs": {"loss": Loss.HS},
    "quantized": {"quantize": True, "word_ngrams": 2},
    "norms": {"quantize": True, "norms": True, "qout": True, "dim": 7},
    "pruned": {"quantize": True, "pruned": True, "word_ngrams": 2, "norms": True},
    "skipgram": {"kind": Model.SKIPGRAM, "loss": Loss.NS, "subwords": (3, 6)},
}


def written(tmp_path, **options) -> bytes:
    path = tmp_path / "made.bin"
    write_model(make_model(**options), path)
    return path.read_bytes()


def test_bytes_of_a_small_model(tmp_path):
    """The layout, byte by byte, put together by hand from fastText's `save` functions."""
    arguments = Args(
        dim=2, ws=3, epoch=4, min_count=6, neg=7, word_ngrams=1, loss=Loss.OVA,
        model=Model.SUPERVISED, bucket=0, minn=0, maxn=0, lr_update_rate=8, t=0.5,
    )  # fmt: skip
    dictionary = Dictionary(
        arguments, [b"a", "é".encode()], [9, 5], [b"__label__x"], [3], token_count=17
    )
    model = FastTextModel(
        arguments,
        dictionary,
        DenseMatrix(np.array([[1, 2], [3, 4]], dtype=np.float32)),
        DenseMatrix(np.array([[5, 6]], dtype=np.float32)),
    )
    write_model(model, tmp_path / "model.bin")
    expected = struct.pack("<2i", 793712314, 12)
    expected += struct.pack("<12id", 2, 3, 4, 6, 7, 1, 4, 3, 0, 0, 0, 8, 0.5)
    expected += struct.pack("<3i2q", 3, 2, 1, 17, -1)
    for word, count, kind in ((b"a", 9, 0), (b"\xc3\xa9", 5, 0), (b"__label__x", 3, 1)):
        expected += word + b"\0" + struct.pack("<qb", count, kind)
    expected += struct.pack("<?2q4f", False, 2, 2, 1, 2, 3, 4)
    expected += struct.pack("<?2q2f", False, 1, 2, 5, 6)
    assert (tmp_path / "model.bin").read_bytes() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_read_then_write_is_the_same(tmp_path, kind):
    content = written(tmp_path, **KINDS[kind])
    model = read_model(tmp_path / "made.bin")
    write_model(model, tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == content
    original = make_model(**KINDS[kind])
    assert model.arguments == original.arguments
    assert model.dictionary.words == original.dictionary.words
    np.testing.assert_array_equal(model.input.dense(), original.input.dense())
    np.testing.assert_array_equal(model.output.dense(), original.output.dense())


def test_version_11_classifiers_have_no_subwords(tmp_path):
    content = bytearray(written(tmp_path, subwords=(3, 6)))
    content[4:8] = struct.pack("<i", 11)
    (tmp_path / "old.bin").write_bytes(content)
    assert read_model(tmp_path / "old.bin").arguments.maxn == 0
    content = bytearray(written(tmp_path, kind=Model.CBOW, subwords=(3, 6)))
    content[4:8] = struct.pack("<i", 11)
    (tmp_path / "old.bin").write_bytes(content)
    assert read_model(tmp_path / "old.bin").arguments.maxn == 6


@pytest.mark.parametrize("kind", KINDS)
def test_every_truncation_is_an_error(tmp_path, kind):
    content = written(tmp_path, **KINDS[kind])
    path = tmp_path / "cut.bin"
    lengths = {*range(min(600, len(content))), *range(600, len(content), 97), len(content) - 1}
    for length in sorted(lengths):
        path.write_bytes(content[:length])
        with pytest.raises(ModelFormatError, match=r"cut\.bin: "):
            read_model(path)


def field(name: str) -> int:
    """Offset of a field of the arguments or of the dictionary's header."""
    names = "dim ws epoch min_count neg word_ngrams loss model bucket minn maxn lr_update_rate"
    offsets = {n: 8 + 4 * i for i, n in enumerate(names.split())}
    offsets |= {"size": 64, "words": 68, "labels": 72, "tokens": 76, "pruned": 84}
    return offsets[name]


@pytest.mark.parametrize(
    ("name", "code", "value", "message"),
    [
        ("dim", "i", 0, "dim"),
        ("dim", "i", -1, "dim"),
        ("dim", "i", 6, "columns"),
        ("loss", "i", 9, "loss is 9"),
        ("model", "i", 0, "model is 0"),
        ("bucket", "i", 0, "no buckets"),
        ("bucket", "i", -5, "bucket"),
        ("bucket", "i", 2**31 - 1, "rows"),
        ("size", "i", 2**31 - 1, "dictionary"),
        ("words", "i", -1, "dictionary"),
        ("labels", "i", 5, "dictionary"),
        ("pruned", "q", 2**60, "truncated"),
        ("pruned", "q", -7, "dictionary"),
    ],
)
def test_absurd_numbers_are_named(tmp_path, name, code, value, message):
    content = bytearray(written(tmp_path, word_ngrams=2))
    struct.pack_into("<" + code, content, field(name), value)
    path = tmp_path / "absurd.bin"
    path.write_bytes(content)
    with pytest.raises(ModelFormatError, match=message):
        read_model(path)


def test_huge_matrix_is_not_allocated(tmp_path):
    content = bytearray(written(tmp_path))
    model = make_model()
    offset = content.index(struct.pack("<2q", *model.input.shape))
    struct.pack_into("<2q", content, offset, 2**40, 5)
    path = tmp_path / "huge.bin"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ModelFormatError, match="truncated or damaged: the input matrix"):
        read_model(path)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "other.bin"
    path.write_bytes(b"PK\3\4" + b"\0" * 100)
    with pytest.raises(ModelFormatError, match="magic"):
        read_model(path)
    path.write_bytes(struct.pack("<2i", 793712314, 13) + b"\0" * 100)
    with pytest.raises(ModelFormatError, match="version 13"):
        read_model(path)
    path.write_bytes(b"")
    with pytest.raises(ModelFormatError, match="empty"):
        read_model(path)
    with pytest.raises(StorageError, match="absent"):
        read_model(tmp_path / "absent.bin")
    with pytest.raises(StorageError):
        read_model(tmp_path)


def test_bytes_behind_the_model_are_an_error(tmp_path):
    path = tmp_path / "long.bin"
    path.write_bytes(written(tmp_path) + b"\0\0\0")
    with pytest.raises(ModelFormatError, match="3 bytes follow"):
        read_model(path)


def test_a_failed_write_leaves_no_file(tmp_path):
    model = make_model()
    broken = dataclasses.replace(model, arguments=dataclasses.replace(model.arguments, ws=2**40))
    with pytest.raises(ModelFormatError, match="too large"):
        write_model(broken, tmp_path / "model.bin")
    wrong = dataclasses.replace(model, output=DenseMatrix(np.zeros((2, 5), dtype=np.float32)))
    with pytest.raises(ModelFormatError, match="2 rows for 4 labels"):
        write_model(wrong, tmp_path / "model.bin")
    assert list(tmp_path.iterdir()) == []


def use(path) -> None:
    """Do with a model what a server would."""
    model = load(path)
    if isinstance(model, Classifier):
        model.predict(["the movie was good überaus", "unseen 映画"], k=3)
        WordVectors(model.model).vector("movies")
    else:
        model.sentence_vector("the movie was bad")
        model.nearest_neighbors(WORDS[1], 3)


@pytest.mark.parametrize("kind", KINDS)
def test_mutations_never_crash(tmp_path, kind):
    """Flipped, inserted, removed and overwritten bytes: an error of ours, or a model that works; never anything else."""
    original = written(tmp_path, **KINDS[kind])
    rng = random.Random(kind)
    path = tmp_path / "mutated.bin"
    read = 0
    for _ in range(400):
        content = bytearray(original)
        for _ in range(rng.choice((1, 1, 2, 5))):
            # Most of the file is numbers that may be anything: half of the changes go to the headers.
            end = len(content) if rng.random() < 0.5 else min(400, len(content))
            position = rng.randrange(end)
            action = rng.randrange(4)
            if action == 0:
                content[position] ^= 1 << rng.randrange(8)
            elif action == 1:
                content[position : position + 4] = struct.pack(
                    "<i", rng.choice((-1, 0, 1, 2**31 - 1, -(2**31), 255))
                )
            elif action == 2:
                del content[position : position + rng.randrange(1, 9)]
            else:
                content[position:position] = rng.randbytes(rng.randrange(1, 9))
        path.write_bytes(content)
        try:
            use(path)
            read += 1
        except KftextError:
            continue
    assert read > 20


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    words=st.lists(
        st.text(min_size=1, max_size=8).filter(lambda w: "\0" not in w and w.isprintable()),
        max_size=20,
        unique=True,
    ),
    labels=st.integers(1, 5),
    dim=st.integers(1, 9),
    bucket=st.integers(1, 30),
    word_ngrams=st.integers(1, 4),
    subwords=st.tuples(st.integers(0, 3), st.integers(0, 5)),
    loss=st.sampled_from(Loss),
    tokens=st.integers(0, 2**62),
)
def test_any_model_survives_the_round_trip(
    tmp_path, words, labels, dim, bucket, word_ngrams, subwords, loss, tokens
):
    arguments = Args(
        dim=dim, loss=loss, model=Model.SUPERVISED, word_ngrams=word_ngrams,
        minn=subwords[0], maxn=subwords[1], bucket=bucket,
    )  # fmt: skip
    names = [word.encode("utf-8", "replace") for word in words]
    dictionary = Dictionary(
        arguments,
        names,
        range(len(names), 0, -1),
        [b"__label__%d" % i for i in range(labels)],
        range(labels, 0, -1),
        token_count=tokens,
    )
    rng = np.random.default_rng(dim)
    model = FastTextModel(
        arguments,
        dictionary,
        DenseMatrix(rng.random((len(names) + bucket, dim), dtype=np.float32)),
        DenseMatrix(rng.random((labels, dim), dtype=np.float32)),
    )
    path = tmp_path / "any.bin"
    write_model(model, path)
    again = read_model(path)
    assert again.arguments == arguments
    assert (again.dictionary.words, again.dictionary.labels) == (names, dictionary.labels)
    assert again.dictionary.token_count == tokens
    text = " ".join(words)
    assert Classifier(again).predict([text], k=-1) == Classifier(model).predict([text], k=-1)
