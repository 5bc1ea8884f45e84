"""Quantized models: codes against a naive search, size and error, pruning, and what a round trip keeps."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from kftext.errors import UsageError
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
from kftext.models.matrix import QuantizedMatrix
from kftext.models.quantization import Quantization, prune, quantize, quantize_matrix


def large_model(
    kind=Model.SUPERVISED, words: int = 300, labels: int = 260, bucket: int = 200, dim: int = 7
):
    rng = np.random.default_rng(0)
    ngrams = {"word_ngrams": 2} if kind == Model.SUPERVISED else {"minn": 3, "maxn": 4}
    arguments = Args(
        **{"dim": dim, "loss": Loss.SOFTMAX, "model": kind, "minn": 0, "maxn": 0, "bucket": bucket}
        | ngrams
    )
    names = [b"</s>", *(b"w%d" % i for i in range(words - 1))]
    supervised = kind == Model.SUPERVISED
    targets = [b"__label__%d" % i for i in range(labels)] if supervised else []
    dictionary = Dictionary(
        arguments, names, range(words, 0, -1), targets, range(len(targets), 0, -1)
    )
    scale = rng.random((words + bucket, 1)) + 0.1
    values = (rng.normal(size=(words + bucket, dim)) * scale).astype(np.float32)
    output = rng.normal(size=(len(targets) or words, dim)).astype(np.float32)
    return FastTextModel(arguments, dictionary, DenseMatrix(values), DenseMatrix(output))


@pytest.mark.parametrize("qnorm", [False, True])
@pytest.mark.parametrize("dsub", [1, 2, 3])
def test_each_code_is_the_nearest_centroid(qnorm, dsub):
    matrix = large_model().input.values
    quantized = quantize_matrix(matrix, Quantization(dsub=dsub, qnorm=qnorm))
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    points = matrix / norms if qnorm else matrix
    for m in range(-(-7 // dsub)):
        part = points[:, m * dsub : (m + 1) * dsub]
        codebook = quantized.quantizer.codebook(m)
        distances = ((part[:, None, :] - codebook[None]) ** 2).sum(axis=2)
        chosen = distances[np.arange(len(part)), quantized.codes[:, m]]
        np.testing.assert_allclose(chosen, distances.min(axis=1), atol=1e-6)
    if qnorm:
        found = quantized.norm_quantizer.centroids[quantized.norm_codes]
        assert np.mean(np.abs(found - norms[:, 0])) < 0.01 * norms.mean()


def test_error_is_small_and_falls_with_dsub():
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(3000, 8)).astype(np.float32)
    errors = []
    for dsub in (1, 2, 4):
        decoded = quantize_matrix(matrix, Quantization(dsub=dsub)).dense()
        errors.append(float(np.mean((decoded - matrix) ** 2)))
    # Of a normal variable: one byte a number, half a byte, a quarter.
    assert errors[0] < 0.001 < errors[1] < 0.02 < errors[2] < 0.15


def test_same_with_and_without_numba(monkeypatch):
    monkeypatch.setattr("kftext.models.quantization._WORTH_THREADS", 1)
    matrix = large_model().input.values
    how = Quantization(qnorm=True, threads=3)
    compiled = quantize_matrix(matrix, how)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "numba" else find_spec(n, *a)
    )
    plain = quantize_matrix(matrix, how)
    np.testing.assert_array_equal(compiled.codes, plain.codes)
    np.testing.assert_array_equal(compiled.norm_codes, plain.norm_codes)


def test_points_that_are_all_the_same():
    matrix = np.ones((300, 4), dtype=np.float32)
    np.testing.assert_allclose(quantize_matrix(matrix, Quantization()).dense(), 1, atol=1e-5)
    zeros = np.zeros((300, 4), dtype=np.float32)
    decoded = quantize_matrix(zeros, Quantization(qnorm=True)).dense()
    np.testing.assert_allclose(decoded, 0, atol=1e-5)


def test_quantized_classifier(tmp_path):
    model = large_model()
    small = quantize(model, Quantization(qout=True, qnorm=True))
    assert isinstance(small.output, QuantizedMatrix)
    write_model(small, tmp_path / "model.ftz")
    write_model(read_model(tmp_path / "model.ftz"), tmp_path / "again.ftz")
    assert (tmp_path / "again.ftz").read_bytes() == (tmp_path / "model.ftz").read_bytes()
    texts = [f"w{i} w{i + 1} w{i * 3}" for i in range(90)]
    exact, found = Classifier(model).predict(texts, 5), load(tmp_path / "model.ftz").predict(texts)
    agree = [f.labels[0] in e.labels for f, e in zip(found, exact, strict=True)]
    assert sum(agree) > 80
    assert not model.quantized


def test_cutoff_keeps_the_largest_rows(tmp_path):
    model = large_model()
    pruned = prune(model, 270)
    norms = np.linalg.norm(model.input.values, axis=1)
    norms[0] = np.inf  # "</s>" always stays
    kept = set(np.argsort(-norms)[:270].tolist())
    words = [word for i, word in enumerate(model.dictionary.words) if i in kept]
    assert pruned.dictionary.words == words
    assert pruned.input.shape == (270, 7)
    for bucket, row in pruned.dictionary.pruned.tolist():
        assert 300 + bucket in kept
        np.testing.assert_array_equal(
            pruned.input.values[len(words) + row], model.input.values[300 + bucket]
        )
    # A line's known rows are the same vectors, the others are gone.
    rows = [r for r in model.dictionary.line(b"w1 w2 w50 w299")[0] if r in kept]
    new_rows = pruned.dictionary.line(b"w1 w2 w50 w299")[0]
    np.testing.assert_array_equal(pruned.input.values[new_rows], model.input.values[rows])
    write_model(quantize(model, Quantization(cutoff=270)), tmp_path / "model.ftz")
    assert read_model(tmp_path / "model.ftz").dictionary.words == words


def test_retrain_is_called_with_the_pruned_model():
    seen = []

    def retrain(model):
        seen.append(model)
        return FastTextModel(
            model.arguments, model.dictionary, DenseMatrix(model.input.values * 2), model.output
        )

    model = large_model()
    twice = quantize(model, Quantization(cutoff=280), retrain=retrain)
    once = quantize(model, Quantization(cutoff=280))
    assert seen[0].input.shape == (280, 7)
    np.testing.assert_allclose(twice.input.dense(), once.input.dense() * 2, atol=0.15)
    quantize(model, Quantization(), retrain=retrain)
    assert len(seen) == 1


@pytest.mark.parametrize("cutoff", [0, 350])
def test_quantized_word_vectors(tmp_path, cutoff):
    model = large_model(Model.SKIPGRAM)
    write_model(model, tmp_path / "vectors.bin")
    write_model(quantize(model, Quantization(cutoff=cutoff)), tmp_path / "vectors.ftz")
    small, exact = load(tmp_path / "vectors.ftz"), WordVectors(prune(model, cutoff or 500))
    assert (tmp_path / "vectors.ftz").stat().st_size < (tmp_path / "vectors.bin").stat().st_size
    assert small.words == exact.words
    errors = small.all_vectors() - exact.all_vectors()
    assert np.linalg.norm(errors) < 0.35 * np.linalg.norm(exact.all_vectors())
    assert small.vector("unseen").any() == exact.vector("unseen").any()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (Quantization(dsub=0), "dsub=0"),
        (Quantization(cutoff=-1), "cutoff=-1"),
        (Quantization(cutoff=100), "100 rows is too small"),
    ],
)
def test_impossible_numbers(how, message):
    with pytest.raises(UsageError, match=message):
        quantize(large_model(), how)


def test_quantized_twice():
    with pytest.raises(UsageError, match="already"):
        quantize(quantize(large_model()))
