"""BERT's tokenization as its reference code has it (`tokenization.py`), a character at a time; and texts that try it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

CHINESE = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F)),
    *((0x2B740, 0x2B81F), (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)

ODD_TEXTS = (
    *("", "   ", "\t\n\r", "a\u2028b\u2029c\u3000d\u00a0e\u202ff\u1680g"),
    *("\u0130stanbul I\u011eDIR", "Stra\u00dfe \u1e9e \ufb01n \u01c4", "\u03a3\u0399\u03a3 \u03a3"),
    *("na\u00efve caf\u00e9 \u00c5ngstr\u00f6m \u01d5", "a\u0301 e\u0308 \u0301alone", "K \u212b \u2126"),
    *("\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8", "\ud55c\uad6d\uc5b4", "\U00020000\U0002a700 \uf900 \U0002f804"),
    *("\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f", "a\u200bb soft\u00adhyphen a\ufeffb"),
    *("null\x00in\x01side \x7f del \x85nel", "\ufffd replaced \ue000"),
    *("x" * 100, "x" * 101, "\u00e9" * 100, "\u00e9" * 60 + " " + "\u4e2d" * 70, "-" * 130, "good " * 200),
    *("$100 + 50% = ^_^ `code` ~ |pipe| <tag>", "\u00ab\u201e\u201c\u2026 \u2014 \u2010 \u00bf \u00a7 \u20ac \u00bd \u00b5m km\u00b2"),
    *("\u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u05e2\u05b4\u05d1\u05e8\u05b4\u05d9\u05ea"),
    *("\u2167 \u2461 \uff21\uff22 \U0001d401", "\u1f48\u03b4\u03c5\u03c3\u03c3\u03b5\u03cd\u03c2 \u1fb3"),
)  # fmt: skip


def clean(text: str, *, lower_case: bool = True, strip_accents: bool = True) -> str:
    kept = "".join(
        character
        for character in text
        if character in "\t\n\r"
        or (
            character not in "\x00\ufffd"
            and unicodedata.category(character) not in ("Cc", "Cf", "Co")
        )
    )
    if strip_accents:
        decomposed = unicodedata.normalize("NFD", kept)
        kept = "".join(
            character for character in decomposed if unicodedata.category(character) != "Mn"
        )
    return "".join(character.lower() for character in kept) if lower_case else kept


def words(text: str, *, chinese_characters: bool = True) -> list[str]:
    apart = []
    for character in text:
        code = ord(character)
        punctuation = (33 <= code <= 126 and not character.isalnum()) or unicodedata.category(
            character
        ).startswith("P")
        chinese = chinese_characters and any(first <= code <= last for first, last in CHINESE)
        apart.append(f" {character} " if punctuation or chinese else character)
    return "".join(apart).split()


def pieces(word: str, vocabulary: Mapping[str, int]) -> list[str]:
    """The longest piece first, from the left."""
    if len(word) > 100:
        return ["[UNK]"]
    found: list[str] = []
    start = 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:
            return ["[UNK]"]
        found.append(piece)
        start = end
    return found


def token_ids(
    text: str,
    vocabulary: Mapping[str, int],
    most: int = 128,
    *,
    lower_case: bool = True,
    strip_accents: bool = True,
    chinese_characters: bool = True,
) -> list[int]:
    """Return the ids of a text, [CLS] and [SEP] among them, cut after `most`."""
    cleaned = clean(text, lower_case=lower_case, strip_accents=strip_accents)
    found = [
        piece
        for word in words(cleaned, chinese_characters=chinese_characters)
        for piece in pieces(word, vocabulary)
    ]
    return [vocabulary[piece] for piece in ("[CLS]", *found[: most - 2], "[SEP]")]
