"""The vector operations, lane by lane."""

import numba
import numpy as np
import pytest

from kftext.blazingtext.kernels import simd


@numba.njit
def unary(which, x, y):
    v = simd.load(x, 1)
    if which == 0:
        simd.store(y, 2, simd.exp(v))
    else:
        simd.store(y, 2, simd.sigmoid(v))


@numba.njit
def arithmetic(x, y, out):
    a, b = simd.load(x, 0), simd.load(y, 0)
    simd.store(out, 0, simd.multiply_add(a, b, simd.splat(np.float32(0.5))))
    simd.store(out, 16, simd.add(a, simd.zeros()))
    simd.store(out, 32, simd.subtract(a, b))
    simd.store(out, 48, simd.multiply(a, b))
    return simd.sum_lanes(a)


@numba.njit
def all_sums(x, out):
    simd.store(
        out, 0,
        simd.sums(
            simd.load(x, 0), simd.load(x, 16), simd.load(x, 32), simd.load(x, 48), simd.load(x, 64), simd.load(x, 80),
            simd.load(x, 96), simd.load(x, 112), simd.load(x, 128), simd.load(x, 144), simd.load(x, 160),
            simd.load(x, 176), simd.load(x, 192), simd.load(x, 208), simd.load(x, 224), simd.load(x, 240),
        ),
    )  # fmt: skip


def test_exp_and_sigmoid_are_close_everywhere():
    for start in np.linspace(-90, 90, 400):
        x = np.linspace(start, start + 1, 18, dtype=np.float32)
        y = np.zeros(20, np.float32)
        unary(0, x, y)
        np.testing.assert_allclose(
            y[2:18], np.exp(np.clip(x[1:17].astype(float), -80, 80)), rtol=2e-5
        )
        unary(1, x, y)
        reference = 1 / (1 + np.exp(-np.clip(x[1:17].astype(float), -30, 30)))
        np.testing.assert_allclose(y[2:18], reference, rtol=1e-5)
        assert not y[[0, 1, 18, 19]].any(), "wrote beside the sixteen"


def test_arithmetic():
    x, y = np.random.default_rng(1).normal(size=(2, 16)).astype(np.float32)
    out = np.zeros(64, np.float32)
    assert arithmetic(x, y, out) == pytest.approx(x.sum(), rel=1e-5)
    for row, expected in zip(out.reshape(4, 16), (x * y + 0.5, x, x - y, x * y), strict=True):
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-6)


def test_sums_gives_each_argument_its_lane():
    x = np.random.default_rng(2).normal(size=(16, 16)).astype(np.float32)
    out = np.zeros(16, np.float32)
    all_sums(x.ravel(), out)
    np.testing.assert_allclose(out, x.sum(axis=1), rtol=1e-5, atol=1e-5)
