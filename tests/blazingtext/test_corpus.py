"""Corpus reading against a naive reader: the same words, ids and lines, whatever the blocks and threads."""

from __future__ import annotations

import gzip
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from blazingtext import naive_corpus as naive
from kftext.blazingtext import blocks, corpus
from kftext.blazingtext.corpus import Reading, read_corpus, read_examples
from kftext.blazingtext.vocabulary import Vocabulary, VocabularyRules
from kftext.data.formats import Format, ReadOptions
from kftext.errors import DataError, ResourceError, StorageError

LABELED = Format.LABELED_TEXT


def write(folder, *contents: bytes) -> list[str]:
    paths = []
    for i, content in enumerate(contents):
        paths.append(str(folder / f"part{i}"))
        (folder / f"part{i}").write_bytes(content)
    return paths


def small_blocks(size: int):
    """Cut files into tiny blocks, so that tokens and lines go over their ends."""
    return patch.multiple(blocks, BLOCK_SIZE=size, _STEP=max(size // 2, 1))


def same_corpus(paths, files, min_count, **reading):
    vocabulary, encoded = read_corpus(paths, VocabularyRules(min_count), Reading(**reading))
    words, counts, lines, token_count = naive.corpus(files, min_count)
    assert vocabulary.words == words
    assert vocabulary.counts.tolist() == counts
    assert encoded.token_count == token_count
    assert naive.lines_of(encoded.ids, encoded.line_offsets) == lines
    return encoded


def same_examples(paths, files, min_count, prefix=b"__label__", **reading):
    rules = VocabularyRules(min_count, prefix)
    vocabulary, encoded = read_examples(paths, LABELED, rules, reading=Reading(**reading))
    words, labels, examples, hashes, token_count = naive.examples(files, min_count, prefix)
    assert vocabulary.words == words
    assert vocabulary.labels == labels
    ids = naive.lines_of(encoded.ids, encoded.line_offsets)
    label_ids = naive.lines_of(encoded.labels, encoded.label_offsets)
    assert list(zip(ids, label_ids, strict=True)) == examples
    assert encoded.word_hashes.tolist() == hashes
    assert encoded.token_count == token_count
    return encoded


# Few distinct tokens, so that counts differ from 1; all kinds of white space; tokens around 8 and 16 bytes, where the table
# changes its way of comparing; the end-of-sentence token written out; bytes that are no UTF-8.
TOKENS = st.sampled_from(
    b"a bb sevenby eightbyt ninebytes sixteenbytesword seventeenbyteslon seventeenbytesloN </s> "
    b"a-token-that-goes-on-for-more-than-four-words-1 a-token-that-goes-on-for-more-than-four-words-2 "
    b"\xff\xfe \xc3\xa9 __label__a __label__bb __label__ __labe twentyfour__label__bytes".split()
)
SPACES = st.sampled_from([b" ", b"  ", b"\n", b"\n\n", b" \n", b"\t", b"\r\n", b"\v", b"\f", b"\0"])
TEXTS = st.lists(st.one_of(TOKENS, SPACES), max_size=60).map(b"".join)
slow = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)


@slow
@given(st.lists(TEXTS, min_size=1, max_size=3), st.integers(0, 3), st.integers(1, 70))
@example([b"a\nb\na\n"], 2, 2)
@example([b"a a", b"a a\n"], 1, 1)
def test_corpus_equals_the_naive_reader(tmp_path, files, min_count, block_size):
    words = naive.corpus(files, min_count)[0]
    paths = write(tmp_path, *files)
    for threads in (1, 3):
        with small_blocks(block_size):
            if set(words) - {naive.EOS}:
                same_corpus(paths, files, min_count, threads=threads)
            else:
                with pytest.raises(DataError):
                    read_corpus(paths, VocabularyRules(min_count), Reading(threads))


@slow
@given(st.lists(TEXTS, min_size=1, max_size=3), st.integers(0, 3), st.integers(1, 70))
@example([b"__label__a a </s> b __label__bb", b"a a a __label__a"], 1, 5)
def test_examples_equal_the_naive_reader(tmp_path, files, min_count, block_size):
    words, labels, *_ = naive.examples(files, min_count)
    paths = write(tmp_path, *files)
    for threads in (1, 3):
        with small_blocks(block_size):
            if labels and set(words) - {naive.EOS}:
                same_examples(paths, files, min_count, threads=threads)
            else:
                with pytest.raises(DataError):
                    rules = VocabularyRules(min_count)
                    read_examples(paths, LABELED, rules, reading=Reading(threads))


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_threads_and_spilling_change_nothing(tmp_path, threads):
    rng = np.random.default_rng(0)
    words = [b"w%d" % n for n in np.minimum(rng.zipf(1.4, 60_000), 10**9)]
    ends = rng.random(60_000) < 0.08
    content = b"".join(w + (b"\n" if end else b" ") for w, end in zip(words, ends, strict=True))
    paths = write(tmp_path, content)
    with small_blocks(1 << 14):
        for limit in (None, 0, 100_000):
            reading = {"memory_limit": limit, "work_dir": tmp_path / "work"}
            same_corpus(paths, [content], 3, threads=threads, **reading)
    # What spilled had no name, and is gone.
    assert list((tmp_path / "work").iterdir()) == []


def test_table_of_distinct_tokens_grows(tmp_path):
    words = [b"%d" % n for n in range(150_000)]
    content = b" ".join(words + words[::-1]) + b"\n"
    encoded = same_corpus(write(tmp_path, content), [content], 1, threads=2)
    assert len(encoded.ids) == 300_001


def test_tokens_longer_than_blocks(tmp_path):
    long = b"y" * 40_000
    content = b"a " + long + b" b\n" + long + b"z a\n" + long
    with small_blocks(1 << 10):
        same_corpus(write(tmp_path, content), [content], 1, threads=3)


def test_a_line_of_ten_million_tokens(tmp_path):
    content = b"a b " * 5_000_000
    vocabulary, encoded = read_corpus(write(tmp_path, content), VocabularyRules(1))
    assert vocabulary.words == [b"a", b"b"]
    assert encoded.token_count == len(encoded.ids) == 10_000_000
    assert np.diff(encoded.line_offsets).max() == corpus.MAX_LINE_WORDS
    assert (encoded.ids.reshape(-1, 2) == [0, 1]).all()


def test_gzip_folders_and_byte_order_marks(tmp_path):
    files = [b"a b\nc a", b"b a\n", b"c\n"]
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "1.txt.gz").write_bytes(gzip.compress(files[0][:4]) + gzip.compress(files[0][4:]))
    (folder / "2.txt").write_bytes(b"\xef\xbb\xbf" + files[1])
    (folder / ".hidden").write_bytes(b"never")
    other = write(tmp_path, files[2])
    same_corpus([str(folder), *other], files, 1)


def test_cut_gzip_is_an_error(tmp_path):
    content = gzip.compress(bytes(np.random.default_rng(0).integers(97, 120, 100_000, np.uint8)))
    paths = write(tmp_path, content[:-2000])
    with pytest.raises(DataError, match="part0"):
        read_corpus(paths, VocabularyRules(1))


def test_missing_file(tmp_path):
    with pytest.raises(StorageError, match="nowhere"):
        read_corpus([str(tmp_path / "nowhere")], VocabularyRules(1))


def test_file_that_shrinks(tmp_path):
    paths = write(tmp_path, b"a b c\n" * 1000)
    with (
        patch("kftext.storage.size", return_value=10_000),
        pytest.raises(StorageError, match="shorter"),
    ):
        read_corpus(paths, VocabularyRules(1))


@pytest.mark.parametrize("content", [b"", b"\n\n\n", b" \t \0"])
def test_no_words(tmp_path, content):
    with pytest.raises(DataError, match="no word"):
        read_corpus(write(tmp_path, content), VocabularyRules(1))


def test_no_word_is_frequent_enough(tmp_path):
    with pytest.raises(DataError, match=r"min_count=5 times.*seen 3 times"):
        read_corpus(write(tmp_path, b"a a a b\n" * 1 + b"\n" * 9), VocabularyRules(5))


def test_no_labels(tmp_path):
    with pytest.raises(DataError, match=r"part0: no label.*start with #"):
        read_examples(write(tmp_path, b"__label__a b\n"), LABELED, VocabularyRules(1, b"#"))


def test_label_prefix(tmp_path):
    content = b"#a one __label__b\ntwo #c\n"
    encoded = same_examples(write(tmp_path, content), [content], 1, b"#")
    assert encoded.example_count == 2


def test_work_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    reading = Reading(memory_limit=0, work_dir=tmp_path / "file")
    with pytest.raises(ResourceError, match="--work-dir"):
        read_corpus(write(tmp_path, b"a b c\n"), VocabularyRules(1), reading)


def test_manifest_gives_what_labelled_text_gives(tmp_path):
    manifest = (
        b'{"source": "good  film", "label": 1}\n{"source": "a bad one", "label": [2, "x"]}\n'
        b'{"source": "good", "label": "1"}\n'
    )
    text = b"__label__1 good film\n__label__2 __label__x a bad one\n__label__1 good\n"
    paths = write(tmp_path, manifest, text)
    rules, options = VocabularyRules(1), ReadOptions()
    first, one = read_examples(paths[:1], Format.MANIFEST, rules, options)
    second, other = read_examples(paths[1:], LABELED, rules)
    assert first.words == second.words
    assert first.labels == second.labels
    for name in ("ids", "labels", "line_offsets", "label_offsets", "word_hashes"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_manifest_fault_names_file_and_line(tmp_path):
    paths = write(tmp_path, b'{"source": "good", "label": 1}\n{"source": "bad"}\n')
    with pytest.raises(DataError, match=r"part0:2: .*label"):
        read_examples(paths, Format.MANIFEST, VocabularyRules(1))


def test_validation_is_read_with_the_training_vocabulary(tmp_path):
    train, validation = b"__label__a x y x\n__label__b z\n", b"__label__b x new\n__label__new x\n"
    paths = write(tmp_path, train, validation)
    known, _ = read_examples(paths[:1], LABELED, VocabularyRules(1))
    rules = VocabularyRules(1, known=known, fixed=True)
    vocabulary, encoded = read_examples(paths[1:], LABELED, rules)
    assert vocabulary.words == known.words
    assert vocabulary.counts.tolist() == known.counts.tolist()
    x, end = known.words.index(b"x"), known.words.index(b"</s>")
    # The word that is not known has an id behind the vocabulary; the example whose label is not known is left out.
    assert encoded.ids.tolist() == [x, len(known.words), end]
    assert encoded.labels.tolist() == [known.labels.index(b"__label__b")]
    assert len(encoded.word_hashes) == len(known.words) + 1


def test_known_words_stay_and_counts_add_up(tmp_path):
    known = Vocabulary([b"old", b"rare"], np.array([7, 1]), [b"__label__a"], np.array([3]))
    content = b"new new new old __label__b\nonce __label__a\n"
    rules = VocabularyRules(3, known=known)
    vocabulary, encoded = read_examples(write(tmp_path, content), LABELED, rules)
    assert dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True)) == {
        b"old": 8,
        b"new": 3,
        b"rare": 1,
    }
    assert vocabulary.labels == [b"__label__a", b"__label__b"]
    assert vocabulary.label_counts.tolist() == [4, 1]
    # Hashes are by id: the vocabulary first.
    assert encoded.word_hashes[:3].tolist() == [
        naive.fasttext_hash(word) for word in vocabulary.words
    ]


def test_real_text(data_dir):
    path = data_dir / "cooking" / "cooking.train.txt"
    encoded = same_examples([str(path)], [path.read_bytes()], 5, threads=3)
    assert encoded.example_count == 12_404
