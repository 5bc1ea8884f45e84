"""A vocabulary, and texts that meet it in every way: as it stands, in other case, with punctuation, or not at all."""

from __future__ import annotations

import random

from models.making import WORDS

_STEM = "abcdefghijklmnopqrst"

VOCABULARY = [
    *WORDS,
    *(
        "NASA",
        "nasa",
        "New",
        "york",
        "co-op",
        "op",
        "U.S.",
        "us",
        "c++",
        "c",
        "don't",
        "3.14",
        "14",
    ),
    *(".", "</", "s", "été", "straße", "σίσυφος", "i̇stanbul", "🎬", "naïve-ness", "ness"),
    # Of every length about the eight and sixteen bytes that a table's slot holds, and others that differ in the middle.
    *(_STEM[:length] for length in range(2, 20)),
    *(_STEM[: length // 2] + "z" + _STEM[length // 2 + 1 : length] for length in range(5, 20)),
]

_UNKNOWN = ["x", "zebra", "Quizzacious", "unbekannt", "éa", "映", "İstanbul", "ΣΊΣΥΦΟΣ", "\ud800"]
_MARKS = [*"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "...", "“", "。", "☃"]
_SPACES = [" ", " ", " ", "\t", "\n", "\r\n", "\x0b", "\f", "\x00", "  ", "\u00a0", "\u3000"]


def random_texts(count: int, seed: int) -> list[str]:
    """Return texts of up to a dozen words; in half of them nothing is unknown that is not ASCII."""
    choice = random.Random(seed)
    plain = [word for word in _UNKNOWN if word.isascii()]
    texts = []
    for index in range(count):
        ascii_only = index % 2 == 0
        unknown = plain if ascii_only else _UNKNOWN
        marks = _MARKS[:33] if ascii_only else _MARKS
        spaces = _SPACES[:10] if ascii_only else _SPACES
        text = ""
        for _ in range(choice.randrange(13)):
            word = choice.choice(VOCABULARY if choice.random() < 0.8 else unknown)
            if word.isascii() or not ascii_only:
                change = choice.choice([str, str, str.upper, str.title, str.lower])
                word = change(word)
                if choice.random() < 0.4:
                    word = choice.choice(marks) + word + choice.choice(marks)
                if choice.random() < 0.1:
                    word += choice.choice(marks) + choice.choice(
                        plain if ascii_only else VOCABULARY
                    )
            text += word + choice.choice(spaces)
        texts.append(text)
    return texts
