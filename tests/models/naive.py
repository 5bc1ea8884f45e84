"""fastText's rules, written down as plainly as they can be: what the fast code is compared with."""

from __future__ import annotations

import math

import numpy as np

WHITESPACE = b" \t\n\v\f\r\0"


def fnv(data: bytes) -> int:
    h = 2166136261
    for byte in data:
        signed = byte - 256 if byte > 127 else byte
        h = ((h ^ (signed % 2**32)) * 16777619) % 2**32
    return h


def tokens(line: bytes) -> list[bytes]:
    result, current = [], b""
    for byte in line + b" ":
        if bytes([byte]) in [bytes([w]) for w in WHITESPACE]:
            if current:
                result.append(current)
            current = b""
        else:
            current += bytes([byte])
    return result


def ngrams(word: bytes, minn: int, maxn: int) -> list[bytes]:
    """Character n-grams of `<word>`, by cutting the decoded text."""
    if word == b"</s>":
        return []
    text = "<" + word.decode() + ">"
    result = []
    for i in range(len(text)):
        for n in range(1, maxn + 1):
            whole = i + n <= len(text)
            edge = n == 1 and (i == 0 or i + n == len(text))
            if whole and n >= minn and not edge:
                result.append(text[i : i + n].encode())
    return result


def line_rows(model, text: bytes) -> list[int]:
    """Rows of the input matrix for a line that a newline ends."""
    arguments, dictionary = model.arguments, model.dictionary
    words, rows, hashes = dictionary.words, [], []

    def push(bucket):
        if dictionary.pruned is None:
            rows.append(len(words) + bucket)
        else:
            kept = dict(dictionary.pruned.tolist())
            if bucket in kept:
                rows.append(len(words) + kept[bucket])

    for token in [*tokens(text), b"</s>"]:
        if token in dictionary.labels or (
            token not in words and token.startswith(dictionary.label_prefix)
        ):
            continue
        if token in words:
            rows.append(words.index(token))
        for ngram in ngrams(token, arguments.minn, arguments.maxn):
            push(fnv(ngram) % arguments.bucket)
        h = fnv(token)
        hashes.append(h - 2**32 if h >= 2**31 else h)
        if token == b"</s>":
            break
    for i in range(len(hashes)):
        h = hashes[i] % 2**64
        for j in range(i + 1, min(len(hashes), i + arguments.word_ngrams)):
            h = (h * 116049371 + hashes[j]) % 2**64
            push(h % arguments.bucket)
    return rows


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def table_sigmoid(x: float) -> float:
    if x < -8:
        return 0.0
    if x > 8:
        return 1.0
    return sigmoid(int((x + 8) * 512 / 16) * 16 / 512 - 8)


def huffman_probabilities(counts: list[int], products: np.ndarray) -> list[float]:
    """Probability of each label, by building the tree out of nested pairs."""
    # A leaf is (count, label); fastText takes the smaller of the last label left and the first tree not used yet.
    leaves = [(count, label) for label, count in enumerate(counts)]
    trees: list = []
    for inner in range(len(counts) - 1):
        pair = []
        for _ in range(2):
            if leaves and (not trees or leaves[-1][0] < trees[0][0]):
                pair.append(leaves.pop())
            else:
                pair.append(trees.pop(0))
        trees.append((pair[0][0] + pair[1][0], inner, pair))
    result = [0.0] * len(counts)

    def walk(node, probability):
        if len(node) == 2:
            result[node[1]] = probability
            return
        right = sigmoid(float(products[node[1]]))
        walk(node[2][0], probability * (1 - right))
        walk(node[2][1], probability * right)

    walk(trees[0] if trees else leaves[0], 1.0)
    return result


def probabilities(model, text: bytes) -> list[float] | None:
    """Probability of each label; None where nothing of the text is known."""
    rows = line_rows(model, text)
    if not rows:
        return None
    hidden = np.mean([model.input.dense()[row].astype(float) for row in rows], axis=0)
    products = model.output.dense().astype(float) @ hidden
    loss = model.arguments.loss.name
    if loss == "SOFTMAX":
        powers = np.exp(products - products.max())
        return list(powers / powers.sum())
    if loss == "HS":
        return huffman_probabilities(model.dictionary.label_counts.tolist(), products)
    return [table_sigmoid(x) for x in products]
