"""Small random corpora with what makes tokenizing and hashing hard: several scripts, bytes above 127, repeated labels."""

from __future__ import annotations

import random
from pathlib import Path

SYLLABLES = [
    "ka",
    "to",
    "ri",
    "ne",
    "su",
    "ver",
    "lin",
    "dor",
    "mes",
    "qui",
    "é",
    "ñu",
    "ß",
    "ø",
    "жи",
    "да",
    "東",
    "京",
    "한",
    "국",
    "-,",
    "7",
    "🙂",
]


def vocabulary(size: int, rng: random.Random) -> list[str]:
    words: dict[str, None] = {}
    while len(words) < size:
        words["".join(rng.choice(SYLLABLES) for _ in range(rng.randint(1, 4)))] = None
    return list(words)


def sentence(words: list[str], rng: random.Random, longest: int = 12) -> str:
    size = len(words)
    # A square of a uniform number: few words are frequent, as in a text.
    return " ".join(words[int(size * rng.random() ** 2)] for _ in range(rng.randint(1, longest)))


def write_labeled(path: Path, *, lines: int, labels: int, words: int = 200, seed: int = 0) -> Path:
    rng = random.Random(seed)
    names = vocabulary(words, rng)
    with path.open("w", encoding="utf-8") as file:
        for index in range(lines):
            chosen = [index % labels] if index < labels else [rng.randrange(labels)]
            if rng.random() < 0.2:
                chosen.append(rng.randrange(labels))
            marks = " ".join(f"__label__{label}" for label in chosen)
            # The first words depend on the label, so that there is something to learn.
            hint = " ".join(names[(chosen[0] * 7 + i) % words] for i in range(2))
            file.write(f"{marks} {hint} {sentence(names, rng)}\n")
    return path


def write_corpus(path: Path, *, lines: int, words: int = 150, seed: int = 0) -> Path:
    rng = random.Random(seed)
    names = vocabulary(words, rng)
    text = "".join(sentence(names, rng) + "\n" for _ in range(lines))
    path.write_text(text, encoding="utf-8")
    return path


def queries(words: int = 200, seed: int = 0, count: int = 25) -> list[str]:
    """Texts to predict: known and unknown words, odd white space, labels in the text, nothing at all."""
    rng = random.Random(seed)
    names = vocabulary(words, rng)
    texts = [sentence(names, rng) for _ in range(count)]
    return [
        *texts,
        "",
        "   ",
        "neverseen ünknöwn 未知",
        "__label__3 word __label__unknown",
        "a\tb\vc\fd\re\u00a0f\u3000g",
        "before </s> after " + names[0],
        "with\0nul " + names[1],
        " ".join(names[:50]) * 3,
    ]
