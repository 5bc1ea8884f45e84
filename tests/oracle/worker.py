"""Answers questions with the real fasttext package: one JSON request a line on stdin, one JSON answer a line on stdout.

Runs in the oracle environment (`.oracle/bin/python`), which has fasttext and NumPy 1 alone.
"""

import json
import os
import sys
from pathlib import Path

import answer_kinds
import fasttext
import fasttext.util
import numpy as np

models = {}


def model(path):
    """The model of a file, kept open: the size and time tell a rewritten file from the old one."""
    stat = Path(path).stat()
    key = (path, stat.st_size, stat.st_mtime_ns)
    if key not in models:
        models.clear()
        models[key] = fasttext.load_model(path)
    return models[key]


def train(mode, path, arguments, quantize=None):
    """Train, quantize where asked to, save.

    Ten threads and a dimension that ten divides: each thread fills a tenth of the input matrix with its first numbers, and
    with fewer of them 0.9.3 trains on memory as it finds it.
    """
    assert arguments["dim"] % 10 == 0
    if mode == "supervised":
        trained = fasttext.train_supervised(verbose=0, thread=10, **arguments)
    else:
        trained = fasttext.train_unsupervised(verbose=0, thread=10, model=mode, **arguments)
    if quantize is not None:
        trained.quantize(verbose=0, thread=10, **quantize)
    trained.save_model(path)


def quantize(path, output, **arguments):
    trained = fasttext.load_model(path)
    trained.quantize(verbose=0, thread=10, **arguments)
    trained.save_model(output)


def predict(path, texts, k=1, threshold=0.0):
    result = []
    for text in texts:
        labels, probabilities = model(path).predict(text, k=k, threshold=threshold)
        result.append([list(labels), probabilities.tolist()])
    return result


def word_vectors(path, words):
    return [model(path).get_word_vector(word).tolist() for word in words]


def sentence_vectors(path, texts):
    return [model(path).get_sentence_vector(text).tolist() for text in texts]


def nearest_neighbors(path, word, k=10):
    return [[name, cosine] for cosine, name in model(path).get_nearest_neighbors(word, k=k)]


def analogies(path, a, b, c, k=10):
    return [[name, cosine] for cosine, name in model(path).get_analogies(a, b, c, k=k)]


def subwords(path, word):
    names, rows = model(path).get_subwords(word)
    return [names, rows.tolist()]


def test(path, data, k=1, threshold=0.0):
    return list(model(path).test(data, k=k, threshold=threshold))


def test_label(path, data, k=1, threshold=0.0):
    return model(path).test_label(data, k=k, threshold=threshold)


def curve(path, data, label):
    return [values.tolist() for values in model(path).get_meter(data).precision_recall_curve(label)]


def scores(path, data, label, share):
    meter = model(path).get_meter(data)
    scores, truths = meter.score_vs_true(label)
    values = [sorted(zip(scores.tolist(), truths.tolist(), strict=True))]
    for of in (None, label):
        values.append(meter.precision_at_recall(share, of))
        values.append(meter.recall_at_precision(share, of))
    return values


def kinds(path, text, errors):
    return answer_kinds.kinds(model(path), text, errors)


def util_test(predictions, labels, k):
    return list(fasttext.util.test(predictions, labels, k))


def nearest(query, vectors, banned):
    arrays = (np.array(value, dtype=np.float32) for value in (query, vectors))
    return int(fasttext.util.find_nearest_neighbor(*arrays, set(banned)))


def line(path, text):
    return list(model(path).get_line(text))


def ids(path, word):
    return [model(path).get_word_id(word), model(path).get_subword_id(word)]


def tokenize(text):
    return fasttext.tokenize(text)


def words(path):
    names, counts = model(path).get_words(include_freq=True)
    return [names, np.asarray(counts).tolist()]


def main():
    # fastText prints to the standard output; answers go to a copy of it that only we know.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        function = globals()[request["function"]]
        answers.write(json.dumps({"answer": function(**request["arguments"])}) + "\n")
        answers.flush()


main()
