"""`fasttext.FastText`: the module of the original of that name, where its functions and the class of its models stand.

The class is known by `fasttext.FastText._FastText`, in annotations and `isinstance`.
"""  # noqa: N999

from __future__ import annotations

from pathlib import Path
from typing import Any

from kftext.data.tokens import tokenize as _cut
from kftext.fasttext.arguments import read_arguments
from kftext.fasttext.model import FastText as _FastText
from kftext.fasttext.model import require_numba
from kftext.models import read_model

__all__ = [
    "BOW",
    "EOS",
    "EOW",
    "_FastText",
    "load_model",
    "tokenize",
    "train_supervised",
    "train_unsupervised",
]

EOS = "</s>"
BOW = "<"
EOW = ">"


def train_supervised(*args: Any, **kwargs: Any) -> _FastText:
    """Train a classifier on a file of labelled lines.

    Arguments, in order, all but the first with a default: input, lr (0.1), dim (100), ws (5), epoch (5), minCount (1),
    minCountLabel (0), minn (0), maxn (0), neg (5), wordNgrams (1), loss (softmax; ns, hs, ova), bucket (2000000), thread (all
    cores), lrUpdateRate (100), t (0.0001), label (__label__), verbose (2), pretrainedVectors, seed (0),
    autotuneValidationFile, autotuneMetric (f1), autotunePredictions (1), autotuneDuration (300 seconds), autotuneModelSize.
    """
    require_numba("training a model")
    from kftext.fasttext.autotune import autotune
    from kftext.fasttext.training import read_labeled, train_classifier

    arguments, given = read_arguments(args, kwargs, supervised=True)
    if arguments.autotuneValidationFile:
        return autotune(arguments, given)
    return _FastText(train_classifier(arguments, read_labeled(arguments)), arguments.attributes())


def train_unsupervised(*args: Any, **kwargs: Any) -> _FastText:
    """Train word vectors on a file of text.

    Arguments, in order, all but the first with a default: input, model (skipgram; cbow), lr (0.05), dim (100), ws (5), epoch
    (5), minCount (5), minCountLabel (0), minn (3), maxn (6), neg (5), wordNgrams (1), loss (ns; hs, softmax, ova), bucket (2000000), thread
    (all cores), lrUpdateRate (100), t (0.0001), label (__label__), verbose (2), pretrainedVectors, seed (0).
    """
    require_numba("training a model")
    from kftext.fasttext.training import train_word_vectors

    arguments, _ = read_arguments(args, kwargs, supervised=False)
    return _FastText(train_word_vectors(arguments), arguments.attributes())


def load_model(path: str | Path) -> _FastText:
    """Open a model's file, `.bin` or `.ftz`."""
    return _FastText(read_model(path))


def tokenize(text: str) -> list[str]:
    """Cut a text into tokens at white space; each newline gives a token `</s>`."""
    lines = text.encode("utf-8", "replace").split(b"\n")
    tokens = _cut(lines[0])
    for line in lines[1:]:
        tokens += [EOS.encode(), *_cut(line)]
    return [token.decode("utf-8", "replace") for token in tokens]
