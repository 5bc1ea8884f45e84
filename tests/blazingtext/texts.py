"""Small texts with something to learn: each sentence is about one of a few topics, and each topic has words of its own."""

from __future__ import annotations

import numpy as np

TOPICS = 4


def sentences(count: int, seed: int = 0) -> list[tuple[int, str]]:
    """Return (topic, text) pairs: six words of the topic's thirty and four that all topics share."""
    rng = np.random.default_rng(seed)
    result = []
    for topic in rng.integers(TOPICS, size=count).tolist():
        own = [f"topic{topic}word{n}" for n in rng.integers(30, size=6)]
        shared = [f"shared{n}" for n in rng.integers(30, size=4)]
        words = [*own, *shared]
        rng.shuffle(words)
        result.append((topic, " ".join(words)))
    return result


def corpus(count: int, seed: int = 0) -> str:
    return "".join(f"{text}\n" for _, text in sentences(count, seed))


def labeled(count: int, seed: int = 0) -> str:
    return "".join(f"__label__{topic} {text}\n" for topic, text in sentences(count, seed))
