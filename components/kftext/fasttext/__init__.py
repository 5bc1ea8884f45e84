"""The API of the `fasttext` Python package: change `import fasttext` to `from kftext import fasttext`.

    from kftext import fasttext

    model = fasttext.train_supervised("train.txt", wordNgrams=2)
    model.predict("which baking dish is best?", k=3)
    model.quantize("train.txt", cutoff=100_000, retrain=True, qnorm=True)
    model.save_model("model.ftz")

It works with NumPy 2, reads and writes fastText's own files, and trains with the kernels of `kftext.blazingtext`. What differs
from the original: errors are those of `kftext.errors` (wrong arguments still are a `ValueError`), and unsupervised models can be
quantized.
"""

from __future__ import annotations

from kftext.fasttext import FastText, util
from kftext.fasttext.FastText import (
    BOW,
    EOS,
    EOW,
    load_model,
    tokenize,
    train_supervised,
    train_unsupervised,
)

__all__ = [
    "BOW",
    "EOS",
    "EOW",
    "FastText",
    "load_model",
    "tokenize",
    "train_supervised",
    "train_unsupervised",
    "util",
]
