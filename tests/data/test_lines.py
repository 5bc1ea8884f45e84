"""Lines: where they start and end, whatever the block size."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kftext.data import lines
from kftext.data.lines import Line, open_text, read_blocks, read_lines
from kftext.data.rows import Fault, FaultKind
from kftext.data.tokens import WHITESPACE, tokenize
from kftext.errors import DataError, StorageError

LINES = st.lists(st.text(alphabet="ab é\t\r日", max_size=12), min_size=1, max_size=30)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(LINES, st.integers(4, 40), st.booleans())
def test_lines_do_not_depend_on_the_block_size(tmp_path: Path, texts, block, compressed):
    data = "\n".join(texts).encode()
    path = tmp_path / "lines.txt"
    path.write_bytes(gzip.compress(data) if compressed else data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", block)
        patch.setattr(lines, "MAX_LINE", 1000)
        found = list(read_lines(str(path)))
        offsets = {}
        for item in read_blocks(str(path)):
            if not isinstance(item, Fault):
                offsets[item.number] = item.offset
    if not data:
        assert [item.kind for item in found] == [FaultKind.EMPTY_FILE]
        return
    # A file that ends with a line feed has no further, empty line.
    expected = texts[:-1] if not texts[-1] else texts
    assert [(line.number, line.text) for line in found] == list(enumerate(expected, 1))
    assert [line.content for line in found] == [text.encode() for text in expected]
    starts = {}
    offset = 0
    for number, text in enumerate(expected, 1):
        starts[number] = offset
        offset += len(text.encode()) + 1
    assert offsets == {number: starts[number] for number in offsets}


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(LINES, st.integers(4, 20))
def test_pieces_of_long_lines_hold_the_same_tokens(tmp_path: Path, texts, block):
    path = tmp_path / "lines.txt"
    data = "\n".join(texts).encode()
    path.write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", block)
        found = list(read_lines(str(path), pieces=True))
    pieces = [item for item in found if isinstance(item, Line)]
    # Nothing is lost, and no character is cut.
    joined: dict[int, bytes] = {}
    for piece in pieces:
        joined[piece.number] = joined.get(piece.number, b"") + piece.content
    expected = {number: text.encode() for number, text in enumerate(texts, 1)}
    assert {number: text for number, text in joined.items() if text} == {
        number: text for number, text in expected.items() if text
    }
    long_lines = {item.line for item in found if isinstance(item, Fault) and item.line}
    cut = {number for number in joined if sum(piece.number == number for piece in pieces) > 1}
    assert cut <= long_lines
    if all(len(token) < block for token in tokenize(data)):
        assert [token for piece in pieces for token in tokenize(piece.content)] == tokenize(data)


def test_a_long_line_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lines, "BLOCK", 10)
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"one two\n" + b"word " * 20 + b"\n" + b"text " * 20)
    faults = [item for item in read_lines(str(path), pieces=True) if isinstance(item, Fault)]
    assert [(fault.kind, fault.line) for fault in faults] == [
        (FaultKind.LONG_LINE, 2),
        (FaultKind.LONG_LINE, 3),
    ]


@pytest.mark.parametrize("length", [31, 32, 33, 39, 41, 50])
@pytest.mark.parametrize("ending", [b"", b"\n", b"\nnext\nlines\n"])
def test_overlong_lines_are_left_out_and_the_next_ones_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, ending: bytes
):
    monkeypatch.setattr(lines, "BLOCK", 8)
    monkeypatch.setattr(lines, "MAX_LINE", 32)
    path = tmp_path / "lines.txt"
    path.write_bytes(b"first\n" + b"x" * length + ending)
    found = list(read_lines(str(path)))
    expected: list[object] = [(1, "first")]
    expected.append(FaultKind.OVERLONG_LINE if length > 32 else (2, "x" * length))
    expected += [(3, "next"), (4, "lines")] if b"next" in ending else []
    assert [
        item.kind if isinstance(item, Fault) else (item.number, item.text) for item in found
    ] == expected
    offsets = [block.offset for block in read_blocks(str(path)) if not isinstance(block, Fault)]
    content = path.read_bytes()
    assert all(offset == 0 or content[offset - 1 : offset] == b"\n" for offset in offsets)


def test_open_text_gives_the_bytes_without_compression_and_byte_order_mark(tmp_path: Path):
    for name, data in {
        "plain": b"a text\n",
        "mark": b"\xef\xbb\xbfa text\n",
        "gzip": gzip.compress(b"a text\n"),
        "both": gzip.compress(b"\xef\xbb\xbfa text\n"),
        "members": gzip.compress(b"a te") + gzip.compress(b"xt\n"),
    }.items():
        (tmp_path / name).write_bytes(data)
        read: list[int] = []
        with open_text(str(tmp_path / name), read.append) as stream:
            assert stream.read() == b"a text\n", name
        assert sum(read) == len(data), name
    for data in (b"", b"a", b"ab"):
        (tmp_path / "short").write_bytes(data)
        with open_text(str(tmp_path / "short")) as stream:
            assert stream.read() == data


def test_damaged_gzip_is_a_data_error(tmp_path: Path):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(b"text " * 1000)[:-10])
    with (
        pytest.raises(DataError, match=r"cut.gz: the gzip stream is cut off"),
        open_text(str(path)) as stream,
    ):
        stream.read()


def test_missing_file(tmp_path: Path):
    with pytest.raises(StorageError, match="absent"):
        list(read_lines(str(tmp_path / "absent")))


def test_tokens_are_those_of_fasttext():
    assert tokenize(b"a\tb\vc\fd\re\0f  g\n") == [b"a", b"b", b"c", b"d", b"e", b"f", b"g"]
    # Unicode's other spaces belong to a word.
    assert tokenize("a\u00a0b\u3000c \u2009d".encode()) == [
        "a\u00a0b\u3000c".encode(),
        "\u2009d".encode(),
    ]
    for character in range(256):
        pieces = tokenize(b"a" + bytes([character]) + b"b")
        assert (len(pieces) == 2) == (character in WHITESPACE)
