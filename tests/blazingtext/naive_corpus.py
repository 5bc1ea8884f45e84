"""What corpus reading must give, written as plainly as possible after fastText's `Dictionary::readWord` and `getLine`."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from kftext.models.dictionary import fasttext_hash

EOS = b"</s>"
MAX_LINE_WORDS = 1024


def read_words(content: bytes) -> list[bytes]:
    """Character by character, as `readWord` does."""
    tokens, word = [], b""
    for i in range(len(content)):
        character = content[i : i + 1]
        if character in b" \n\r\t\v\f\0":
            if word:
                tokens.append(word)
            word = b""
            if character == b"\n":
                tokens.append(EOS)
        else:
            word += character
    return [*tokens, word] if word else tokens


def ranked(counter: Counter, min_count: int) -> list[bytes]:
    """By falling count, then in the order of appearance, `</s>` before others of its count."""
    kept = [token for token, count in counter.items() if count >= min_count]
    return sorted(kept, key=lambda token: (-counter[token], token != EOS))


def split(files: list[bytes], min_count: int, prefix: bytes = b"__label__"):
    """Return tokens by file, words with counts, labels with counts, words left out."""
    by_file = [read_words(content) for content in files]
    words: Counter = Counter()
    labels: Counter = Counter()
    for tokens in by_file:
        for token in tokens:
            (labels if token.startswith(prefix) else words)[token] += 1
    vocabulary = ranked(words, max(min_count, 1))
    left_out = [token for token in ranked(words, 1) if words[token] < max(min_count, 1)]
    return by_file, words, vocabulary, left_out, labels, ranked(labels, 1)


def corpus(files: list[bytes], min_count: int):
    """Return (words, counts, lines of ids, token count)."""
    by_file, words, vocabulary, *_ = split(files, min_count)
    ids = {word: i for i, word in enumerate(vocabulary)}
    lines: list[list[int]] = []
    for tokens in by_file:
        line: list[int] = []
        for token in tokens:
            if token in ids:
                line.append(ids[token])
                if token == EOS or len(line) == MAX_LINE_WORDS:
                    lines.append(line)
                    line = []
        if line:
            lines.append(line)
    return vocabulary, [words[word] for word in vocabulary], lines, sum(map(len, by_file))


def examples(files: list[bytes], min_count: int, prefix: bytes = b"__label__"):
    """Return (words, labels, [(ids, label ids)], hashes by id, token count)."""
    by_file, _, vocabulary, left_out, _, label_list = split(files, min_count, prefix)
    ids = {word: i for i, word in enumerate([*vocabulary, *left_out])}
    label_ids = {label: i for i, label in enumerate(label_list)}
    result = []
    for tokens in by_file:
        ends = [i + 1 for i, token in enumerate(tokens) if token == EOS]
        for start, stop in pairwise([0, *ends, len(tokens)]):
            line = tokens[start:stop]
            words = [ids[token] for token in line if token in ids]
            labels = [label_ids[token] for token in line if token in label_ids]
            if words and labels:
                result.append((words, labels))
    hashes = [fasttext_hash(word) for word in ids]
    return vocabulary, label_list, result, hashes, sum(map(len, by_file))


def lines_of(flat, offsets) -> list[list[int]]:
    """Cut a flat array at its offsets."""
    return [flat[a:b].tolist() for a, b in pairwise(offsets.tolist())]
