"""BERT's tokenization in a TensorFlow graph, the same pieces as Hugging Face's tokenizers give for the checkpoint.

TensorFlow Text's own BertTokenizer is of another mind where texts are not plain English: it folds case and compatibility characters
("ß" becomes "ss", "½" "1⁄2", "…" "..."), and puts a space where a control or format character was, which cuts words in two. The
checkpoint's embeddings were trained on the other pieces. The words are cut by rules of our own, therefore, and only then by
TensorFlow Text's WordpieceTokenizer: Devlin et al., "BERT", 2019, section 3, and its reference code, `tokenization.py`; where Hugging
Face's two implementations differ, the fast one counts. Names of special pieces within a text, such as "[SEP]", are text.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import tensorflow as tf

from kftext.text_classification.bert_checkpoint import TextRules

__all__ = ["WordPiece"]

_MAX_CHARACTERS = 100
"""A longer word is unknown."""

_BYTES_PER_CHARACTER = 4

# Controls but for tab and line ends, format and private-use characters, and what stands for undecodable bytes.
_REMOVED = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x{9F}\x{FFFD}\p{Cf}\p{Co}]"
_SPACE = r"[\t\n\r\p{Z}]+"
_PUNCTUATION = r"[!-/:-@\[-`{-~\p{P}]"
_SIGMA, _SMALL_SIGMA = "\u03a3", "\u03c3"
_CHINESE = (
    r"[\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}\x{2B740}-\x{2B81F}"
    r"\x{2B820}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}]"
)


class WordPiece(tf.Module):
    """The tokenizer.

    Args:
        vocabulary: file with a piece in each line, by id; [UNK] among them. A SavedModel holds a copy, as an asset.
        rules: how texts become words.
    """

    def __init__(self, vocabulary: Path, rules: TextRules):
        super().__init__()
        self._rules, self._text = rules, importlib.import_module("tensorflow_text")
        self._wordpiece = self._text.WordpieceTokenizer(
            str(vocabulary), max_bytes_per_word=_MAX_CHARACTERS * _BYTES_PER_CHARACTER
        )

    def tokenize(self, texts):
        """Return int64[n, (pieces)], ragged, for string[n] of UTF-8."""
        words = self._words(self._clean(texts))
        characters = tf.strings.length(words.values, "UTF8_CHAR")
        # No piece holds a control character: the tokenizer knows no such word.
        known = tf.where(characters > _MAX_CHARACTERS, "\x00", words.values)
        return self._wordpiece.tokenize(words.with_values(known)).merge_dims(1, 2)

    def _clean(self, texts):
        texts = tf.strings.regex_replace(texts, _REMOVED, "")
        if self._rules.strip_accents:
            texts = tf.strings.regex_replace(self._text.normalize_utf8(texts, "NFD"), r"\p{Mn}", "")
        if self._rules.lower_case:
            # Each character by itself: the sigma at a word's end is no exception.
            texts = tf.strings.lower(tf.strings.regex_replace(texts, _SIGMA, _SMALL_SIGMA), "utf-8")
        return texts

    def _words(self, texts):
        """Return string[n, (words)], ragged: each punctuation character is a word."""
        apart = _PUNCTUATION
        if self._rules.chinese_characters:
            apart += "|" + _CHINESE
        return self._text.regex_split(texts, f"{_SPACE}|{apart}", apart)
