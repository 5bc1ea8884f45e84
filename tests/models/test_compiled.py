"""Compiled prediction against the NumPy code beside it."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import random
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kftext.errors import ModelFormatError, UsageError
from kftext.models import (
    Classifier,
    DenseMatrix,
    Loss,
    Model,
    WordVectors,
    load,
    read_model,
    write_model,
)
from models.making import WORDS, make_model

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="Numba is not installed"
)

VARIANTS = {
    "plain": {},
    "ngrams": {"word_ngrams": 3, "subwords": (2, 4), "dim": 83},
    "characters": {"subwords": (1, 3), "dim": 17},
    "quantized": {"quantize": True, "dim": 7},
    "pruned": {
        "quantize": True, "norms": True, "qout": True, "pruned": True,
        "word_ngrams": 2, "subwords": (3, 5), "dim": 9,
    },
}  # fmt: skip


def texts(count: int = 60, seed: int = 0) -> list[str]:
    """Known and unknown words, labels, ends of sentences, every kind of white space."""
    rng = random.Random(seed)
    words = [*WORDS, "new", "unbekannt", "é", "見", "__label__pos", "__label__x", "__label_", "🙂"]
    result = ["", " ", "\n", "a\nb", "</s>", "the </s> movie", "x" * 300, "ab" * 2]
    for _ in range(count):
        separators = [" ", "\t", "  ", "\0", "\u00a0", "\r\n"]
        line = "".join(rng.choice(words) + rng.choice(separators) for _ in range(rng.randrange(12)))
        result.append(line)
    return result


def assert_same(found, expected):
    assert [p.labels for p in found] == [p.labels for p in expected]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("loss", "variant"), list(itertools.product(Loss, VARIANTS)))
def test_same_as_numpy(tmp_path, loss, variant):
    # From a file, where matrices are not aligned.
    write_model(make_model(loss=loss, **VARIANTS[variant]), tmp_path / "model.bin")
    plain, compiled = (Classifier(read_model(tmp_path / "model.bin")) for _ in range(2))
    assert compiled.warm_up()
    questions = texts()
    for k, threshold in ((1, 0.0), (2, 0.0), (-1, 0.0), (3, 0.3), (1, 0.6)):
        expected = plain.predict(questions, k, threshold)
        assert plain._compiled is None
        assert_same(compiled.predict(questions, k, threshold), expected)
        assert_same([compiled.predict([t], k, threshold)[0] for t in questions], expected)
        arrays = compiled.predict_arrays(questions, k, threshold)
        for row, prediction in enumerate(expected):
            count = arrays.counts[row]
            assert [plain.labels[i] for i in arrays.labels[row, :count]] == prediction.labels
            assert not arrays.probabilities[row, count:].any()


def words_of_every_length() -> list[str]:
    """Words that differ in one byte: the first, the last, or one in the middle, which a table's slot does not hold."""
    words = ["</s>"]
    for length in range(1, 41):
        word = "abcdefgh" * 5
        word = word[:length]
        words += [word, "é" + word, word + "é", word[: length // 2] + "z" + word[length // 2 + 1 :]]
    return list(dict.fromkeys(words))


def test_tokens_of_every_length():
    """Known and unknown ones, cut at every place of the 64 bytes that are looked at together, at a text's end or before it."""
    words = words_of_every_length()
    rng = random.Random(1)
    unknown = [word[:-1] + "y" for word in words[1:]]
    questions = ["x" * length for length in (63, 64, 65, 127, 128, 129)]
    for length in range(1, 140):
        line = " ".join(rng.choices(words[1:] + unknown, k=8))
        questions.append(rng.choice(["", " ", "\t"]) + line[:length])
    model = make_model(words=words, word_ngrams=2, bucket=1000, dim=16)
    plain, compiled = Classifier(model), Classifier(model)
    assert compiled.warm_up()
    expected = plain.predict(questions, k=-1)
    assert_same(compiled.predict(questions, k=-1), expected)
    assert_same([compiled.predict([text], k=-1)[0] for text in questions], expected)


@pytest.mark.parametrize("bucket", [1, 2, 3, 7, 2**20, 2_000_000, 2**31 - 1])
def test_buckets_of_word_ngrams(bucket):
    """The remainder is taken without a division: beside Python's own."""
    from numba import njit

    from kftext.models.compiled.memory import high_product

    high = njit(lambda a, b: high_product(a, b))
    rng = random.Random(bucket)
    hashes = [0, 1, bucket - 1, bucket, 2**64 - 1, *(rng.getrandbits(64) for _ in range(200))]
    for h in hashes:
        quotient = int(high(np.uint64(h), np.uint64((2**64 - 1) // bucket)))
        assert 0 <= h // bucket - quotient <= 2


def test_equal_scores_keep_the_order_of_the_heap():
    model = make_model(loss=Loss.OVA)
    output = DenseMatrix(np.repeat(model.output.values[:1], 4, axis=0))
    tied = dataclasses.replace(model, output=output)
    plain, compiled = Classifier(tied), Classifier(tied)
    compiled.warm_up()
    for k in (1, 2, 3, 4):
        assert compiled.predict(texts(), k) == plain.predict(texts(), k)


def test_many_labels():
    """More labels than one block of registers holds, with ties among the small ones."""
    rng = np.random.default_rng(0)
    model = make_model()
    labels = [b"__label__%d" % i for i in range(203)]
    dictionary = model.dictionary
    dictionary.labels, dictionary.label_counts = labels, np.arange(203, 0, -1)
    output = DenseMatrix(rng.normal(size=(203, 5)).astype(np.float32) * 8)
    for loss in Loss:
        arguments = dataclasses.replace(model.arguments, loss=loss)
        wide = dataclasses.replace(model, arguments=arguments, output=output)
        plain, compiled = Classifier(wide), Classifier(wide)
        compiled.warm_up()
        for k in (1, 5, 64, -1):
            expected = plain.predict(texts(), k)
            assert_same(compiled.predict(texts(), k), expected)


def test_threads_share_the_lines():
    classifier = Classifier(make_model(word_ngrams=2))
    classifier.warm_up()
    questions = texts(2000)
    expected = classifier.predict(questions, 2, threads=1)
    assert classifier.predict(questions, 2, threads=3) == expected
    with ThreadPoolExecutor(4) as pool:
        assert all(
            r == expected for r in pool.map(lambda _: classifier.predict(questions, 2), range(8))
        )


def test_large_inputs_are_compiled_unasked():
    classifier = Classifier(make_model())
    questions = texts(100) * 100
    found = classifier.predict(questions)
    assert classifier._compiled is not None
    assert found == Classifier(make_model()).predict(questions[:108]) * 100


def test_numbers_that_are_not_finite():
    model = make_model()
    values = model.output.values.copy()
    values[1, 1] = np.nan
    classifier = Classifier(dataclasses.replace(model, output=DenseMatrix(values)))
    classifier.warm_up()
    for questions in (["the movie"], ["the movie", "was bad"]):
        for k in (1, 2):
            with pytest.raises(ModelFormatError, match="not finite"):
                classifier.predict(questions, k)


def test_arguments_are_checked():
    classifier = Classifier(make_model())
    assert classifier.predict_arrays([]).labels.shape == (0, 1)
    assert classifier.predict([]) == []
    with pytest.raises(UsageError, match="k=0"):
        classifier.predict_arrays(["x"], k=0)


def test_without_numba(monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == "numba" else find_spec(name, *a),
    )
    classifier = Classifier(make_model())
    assert not classifier.warm_up()
    arrays = classifier.predict_arrays(texts(), 3, 0.2)
    for row, prediction in enumerate(classifier.predict(texts(), 3, 0.2)):
        count = arrays.counts[row]
        assert [classifier.labels[i] for i in arrays.labels[row, :count]] == prediction.labels
        np.testing.assert_allclose(arrays.probabilities[row, :count], prediction.probabilities)


def test_opening_a_model_does_not_import_numba(tmp_path):
    write_model(make_model(), tmp_path / "model.bin")
    import subprocess

    code = (
        "import sys; from kftext.models import load\n"
        f"load({str(tmp_path)!r}).predict(['the movie'])\n"
        "print([m for m in ('numba', 'scipy', 'tensorflow', 'minio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_real_models(data_dir):
    """Real models, real text: 735 labels of softmax, 176 of pruned hierarchical softmax with character n-grams."""
    folder = data_dir / "fasttext_models"
    lines = (data_dir / "cooking" / "cooking.valid.txt").read_text().splitlines()[:300]
    for name, k in (("cooking.model.bin", 5), ("lid.176.ftz", 3)):
        plain, compiled = load(folder / name), load(folder / name)
        compiled.warm_up()
        assert_same(compiled.predict(lines, k), plain.predict(lines, k))


@pytest.mark.parametrize("variant", ["plain", "characters", "pruned"])
def test_vectors_of_all_words(variant):
    from kftext.models.compiled.model import CompiledModel

    vectors = WordVectors(make_model(Model.SKIPGRAM, Loss.NS, **VARIANTS[variant]))
    expected = [vectors.vector(word) for word in WORDS]
    for threads in (1, 3):
        found = CompiledModel(vectors.model).all_vectors(threads)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("variant", ["plain", "characters", "quantized", "pruned"])
def test_vectors_of_any_words(variant):
    model = make_model(Model.SKIPGRAM, Loss.NS, **VARIANTS[variant])
    plain, compiled = WordVectors(model), WordVectors(model)
    assert compiled.warm_up()
    words = [*WORDS, "</s>", "</s", *texts()]
    found = compiled.vectors(words)
    np.testing.assert_allclose(found, plain.vectors(words), atol=1e-5)
    for index in range(0, len(words), 7):
        np.testing.assert_array_equal(compiled.vectors(words[index : index + 1])[0], found[index])
    assert compiled.vectors([]).shape == (0, plain.dim)
    # In several blocks; one with a newline or half of a character is no line of its own.
    for others in (words * 20, [*words, "two\nlines"], [*words, "half \ud800", "\udcff"]):
        np.testing.assert_allclose(
            compiled.vectors(others), np.stack([plain.vector(word) for word in others]), atol=1e-5
        )


def test_large_vocabularies_are_compiled_unasked(monkeypatch):
    vectors = WordVectors(make_model(Model.SKIPGRAM, Loss.NS, subwords=(3, 5)))
    expected = vectors.all_vectors()
    monkeypatch.setattr("kftext.models.word_vectors._WORTH_COMPILING", 5)
    np.testing.assert_allclose(vectors.all_vectors(), expected, atol=1e-6)


def test_sums_of_rows_to_the_bit():
    """Columns are summed by vectors of which the last overlaps the one before: every column once, no byte behind the rows."""
    from numba import njit

    from kftext.models.compiled.memory import pointer
    from kftext.models.compiled.sums import add_rows

    @njit
    def add(base, dim, rows, span, target):
        add_rows(pointer(base), dim, rows, span, target)

    rng = np.random.default_rng(0)
    for dim in (1, 2, 3, 5, 8, 11, 16, 17, 100, 127, 128, 129, 144, 300):
        file = np.zeros(50 * dim * 4 + 5, dtype=np.uint8)
        matrix = file[5:].view(np.float32).reshape(50, dim)
        matrix[:] = rng.normal(size=(50, dim)) * 10.0 ** rng.integers(-6, 6, (50, 1))
        rows = rng.integers(0, 50, 70)
        for first, last, known in ((0, 1, 1), (0, 70, 70), (3, 4, 70), (10, 60, 61)):
            target = np.full(dim + 2, 7, np.float32)
            add(matrix.ctypes.data, dim, rows, (first, last, known), target[1:-1])
            expected = np.zeros(dim, np.float32)
            for row in rows[first:last]:
                expected += matrix[row]
            assert target[1:-1].tobytes() == expected.tobytes()
            assert target[0] == target[-1] == 7


def test_lines_beyond_a_block_of_rows():
    """Many lines, longer and shorter than the rows that are found ahead, and lines without any."""
    model = make_model(word_ngrams=3, bucket=1000, dim=20)
    plain, compiled = Classifier(model), Classifier(model)
    assert compiled.warm_up()
    rng = random.Random(3)
    words = [*WORDS, "new"]
    questions = [" ".join(rng.choices(words, k=rng.choice((0, 5, 40)))) for _ in range(400)]
    questions[7] = questions[-1] = " ".join(rng.choices(words, k=5000))
    assert_same(compiled.predict(questions, k=2), plain.predict(questions, k=2))
