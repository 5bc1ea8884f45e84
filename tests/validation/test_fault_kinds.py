"""Every kind of fault: the bytes that have it, and where and how it is reported."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kftext.data.formats import Format, ReadOptions
from kftext.data.lines import BLOCK, MAX_LINE
from kftext.data.rows import FaultKind, Severity
from kftext.validation.request import ValidationRequest
from kftext.validation.scan import scan

K = FaultKind
TEXT, MANIFEST, CSV, CORPUS = Format.LABELED_TEXT, Format.MANIFEST, Format.CSV, Format.CORPUS
GOOD = b"".join(
    b"__label__%s %s text number %d\n" % (label, label, number)
    for number in range(5)
    for label in (b"a", b"b")
)
GOOD_CSV = b"".join(b"%d,text %d\n" % (number % 2, number) for number in range(10))
GOOD_MANIFEST = b"".join(
    b'{"source": "text %d", "label": %d}\n' % (number, number % 2) for number in range(10)
)


@dataclass
class Case:
    """`data` has a fault of `kind` at `line` of "train", with `message` in what is said; `also` kinds come with it."""

    kind: FaultKind
    format: Format
    data: bytes
    line: int | None
    message: str
    also: set[FaultKind] = field(default_factory=set)
    validation: bytes | None = None
    file: str = "train"
    rows: int | None = None


CASES = [
    # The file as a whole.
    Case(K.NO_ROWS, CORPUS, b"", None, "empty (0 bytes)", {K.EMPTY_FILE}, rows=0),
    Case(K.NO_ROWS, TEXT, b"", None, "empty (0 bytes)", {K.EMPTY_FILE}, rows=0),
    Case(K.NO_ROWS, MANIFEST, b"", None, "empty (0 bytes)", {K.EMPTY_FILE}, rows=0),
    Case(K.NO_ROWS, CSV, b"", None, "empty (0 bytes)", {K.EMPTY_FILE}, rows=0),
    Case(K.NO_ROWS, TEXT, gzip.compress(b""), None, "empty (0 bytes)", {K.EMPTY_FILE}, rows=0),
    Case(K.NO_ROWS, CORPUS, b"\n \r\n\t\n", None, "no line is a row", rows=0),
    Case(K.NO_ROWS, TEXT, b"\n\n", None, "no line is a row", {K.BLANK_LINE}, rows=0),
    Case(K.NO_ROWS, TEXT, GOOD, None, "empty", {K.EMPTY_FILE}, b"", "validation"),
    Case(K.BINARY_FILE, TEXT, b"PK\x03\x04" + bytes(100), None, "ZIP archive", rows=0),
    Case(K.BINARY_FILE, CORPUS, b"\xfd7zXZ\0" + bytes(9), None, "xz file", rows=0),
    Case(K.BINARY_FILE, CORPUS, bytes(range(256)) * 40, None, "control characters", rows=0),
    Case(K.BINARY_FILE, CSV, gzip.compress(bytes(5000)), None, "5,000 of them NUL", rows=0),
    Case(K.UTF16_FILE, TEXT, GOOD.decode().encode("utf-16"), None, "iconv -f UTF-16", rows=0),
    Case(K.UTF16_FILE, CSV, b"1,a text".decode().encode("utf-16-le"), None, "UTF-16", rows=0),
    Case(K.UTF16_FILE, CSV, b"1,a text".decode().encode("utf-32"), None, "UTF-32", rows=0),
    Case(K.DAMAGED_GZIP, CORPUS, gzip.compress(b"a b\n" * 9)[:-9], None, "cut off", rows=0),
    Case(K.DAMAGED_GZIP, TEXT, gzip.compress(GOOD)[:-6] + b"badcrc", None, "CRC", rows=0),
    Case(K.ONE_CLASS, TEXT, b"__label__a b\n" * 2, None, "same label, a", {K.DUPLICATE, K.FEW_EXAMPLES}),
    Case(K.BYTE_ORDER_MARK, TEXT, b"\xef\xbb\xbf" + GOOD, 1, "byte order mark", rows=10),
    Case(K.BYTE_ORDER_MARK, CSV, b"\xef\xbb\xbf" + GOOD_CSV, 1, "byte order mark", rows=10),
    # Bytes of a line.
    Case(K.INVALID_UTF8, TEXT, GOOD + b"__label__a caf\xe9\n", 11, f"byte 0xe9 at byte 15 of the line (offset {len(GOOD) + 14} of the file)"),
    Case(K.INVALID_UTF8, CORPUS, b"one\nna\xefve\ntwo\n", 2, "byte 0xef at byte 3 of the line (offset 6 of", rows=2),
    Case(K.INVALID_UTF8, CSV, GOOD_CSV + b'1,"a\nb\xff\n"\n', 11, "byte 0xff", rows=10),
    Case(K.INVALID_UTF8, MANIFEST, GOOD_MANIFEST + b'{"source": "\xff", "label": 1}\n', 11, "iconv"),
    Case(K.NUL_BYTE, TEXT, GOOD + b"__label__a x\0y\n", 11, "NUL byte at byte 13", rows=10),
    Case(K.CONTROL_CHARACTER, TEXT, GOOD + b"__label__a bell \x07\n", 11, "U+0007 at byte 17", rows=11),
    Case(K.CONTROL_CHARACTER, CORPUS, b"a\nb \xc2\x85\n", 2, "U+0085", rows=2),
    Case(K.REPLACEMENT_CHARACTER, CSV, GOOD_CSV + "1,caf\ufffd\n".encode(), 11, "U+FFFD", rows=11),
    Case(K.OVERLONG_LINE, TEXT, GOOD + b"__label__a " + b"x " * (MAX_LINE // 2) + b"\n" + b"__label__b end\n", 11, "line break", rows=11),
    Case(K.LONG_LINE, CORPUS, b"a line\n" + b"word " * (BLOCK // 2), 2, "in pieces"),
    # Labelled text.
    Case(K.UNLABELED, TEXT, GOOD + b"no label here\n", 11, "a word that starts with __label__", rows=10),
    Case(K.UNLABELED, TEXT, GOOD + b'{"source": "a"}\n', 11, "is the format manifest?"),
    Case(K.UNLABELED, TEXT, GOOD + b'"1","a, b"\n', 11, "is the format csv?"),
    Case(K.NO_TEXT, TEXT, GOOD + b"__label__a __label__b \r\n", 11, "no text", rows=10),
    Case(K.EMPTY_LABEL, TEXT, GOOD + b"__label__ spam\n", 11, "no name behind its prefix", rows=10),
    Case(K.HEADER, TEXT, b"label\ttext\n" + GOOD, 1, "header line", rows=10),
    Case(K.BLANK_LINE, TEXT, GOOD + b"\n" + GOOD[:0], 11, "blank", rows=10),
    # CSV.
    Case(K.HEADER, CSV, b"label,text\n" + GOOD_CSV, 1, "column 1 is 'label'", rows=10),
    Case(K.LABEL_NOT_INTEGER, CSV, GOOD_CSV + b"sports,a text\n", 11, "column 1 is 'sports'", rows=10),
    Case(K.LABEL_NOT_INTEGER, CSV, GOOD_CSV + b"1.0,a text\n", 11, "'1.0'", rows=10),
    Case(K.LABEL_NOT_INTEGER, CSV, GOOD_CSV + b"a text,1\n", 11, "swap them", rows=10),
    Case(K.LABEL_NOT_INTEGER, CSV, GOOD_CSV + b",a text\n", 11, "column 1 is ''", rows=10),
    Case(K.ONE_COLUMN, CSV, GOOD_CSV + b"1\n", 11, "and the text", rows=10),
    Case(K.ONE_COLUMN, CSV, GOOD_CSV + b"1\ta text\n", 11, "separated by tabs", rows=10),
    Case(K.NO_TEXT, CSV, GOOD_CSV + b'1,"  "\n', 11, "column 2 is empty", rows=10),
    Case(K.BAD_CSV, CSV, GOOD_CSV + b'1,"an "odd" quote"\n0,next\n', 11, "written twice", rows=11),
    Case(K.BAD_CSV, CSV, GOOD_CSV + b'1,"never closed\n0,next\n', 11, "never closed", rows=11),
    Case(K.BAD_CSV, CSV, GOOD_CSV + b"1,a\r0,b\n", 11, "carriage return", rows=10),
    Case(K.EXTRA_COLUMNS, CSV, GOOD_CSV + b"1,Hello, world\n", 11, "3 columns", rows=11),
    Case(K.BLANK_LINE, CSV, GOOD_CSV + b"\n", 11, "blank", rows=10),
    Case(K.LABEL_GAP, CSV, GOOD_CSV.replace(b"1,", b"7,"), None, "labels are 0, 7: they are mapped in order to classes 0 to 1"),
    Case(K.PREFIX_IN_TEXT, CSV, GOOD_CSV + b"1,a __label__x b\n", 11, "read as 'x'", rows=11),
    # Manifest.
    Case(K.BAD_JSON, MANIFEST, GOOD_MANIFEST + b'{"source": "a", }\n', 11, "not JSON", rows=10),
    Case(K.BAD_JSON, MANIFEST, GOOD_MANIFEST + b'["a", 1]\n', 11, "found a list", rows=10),
    Case(K.BAD_JSON, MANIFEST, GOOD_MANIFEST + b"__label__a text\n", 11, "not JSON", rows=10),
    Case(K.MISSING_ATTRIBUTE, MANIFEST, GOOD_MANIFEST + b'{"text": "a", "label": 1}\n', 11, "'source' is missing; attributes found: 'text', 'label'"),
    Case(K.MISSING_ATTRIBUTE, MANIFEST, GOOD_MANIFEST + b'{"source": "a"}\n', 11, "'label' is missing"),
    Case(K.WRONG_TYPE, MANIFEST, GOOD_MANIFEST + b'{"source": 5, "label": 1}\n', 11, "a string, found a number"),
    Case(K.WRONG_TYPE, MANIFEST, GOOD_MANIFEST + b'{"source": "a", "label": null}\n', 11, "found null"),
    Case(K.WRONG_TYPE, MANIFEST, GOOD_MANIFEST + b'{"source": "a", "label": true}\n', 11, "found a boolean"),
    Case(K.WRONG_TYPE, MANIFEST, GOOD_MANIFEST + b'{"source": "a", "label": [1, {}]}\n', 11, "a list with an object"),
    Case(K.UNLABELED, MANIFEST, GOOD_MANIFEST + b'{"source": "a", "label": []}\n', 11, "empty list", rows=10),
    Case(K.EMPTY_LABEL, MANIFEST, GOOD_MANIFEST + b'{"source": "a", "label": " "}\n', 11, "without a name"),
    Case(K.NO_TEXT, MANIFEST, GOOD_MANIFEST + b'{"source": "", "label": 1}\n', 11, "'source' is empty"),
    Case(K.SPACE_IN_LABEL, MANIFEST, GOOD_MANIFEST + b'{"source": "a", "label": "a b"}\n', 11, "it becomes 'a-b'", {K.FEW_EXAMPLES}),
    Case(K.PREFIX_IN_TEXT, MANIFEST, GOOD_MANIFEST + b'{"source": "a __label__b", "label": 1}\n', 11, "read as 'b'"),
    Case(K.BLANK_LINE, MANIFEST, GOOD_MANIFEST + b"  \n", 11, "blank", rows=10),
    # The data set as a whole.
    Case(K.DUPLICATE, TEXT, GOOD + GOOD.splitlines(True)[2], 11, "train:3", rows=11),
    Case(K.CONFLICTING_LABELS, TEXT, GOOD + b"__label__b a text number 0\n", 11, "train:1", {K.DUPLICATE}),
    Case(K.LEAK, TEXT, GOOD, 2, "train:4", set(), b"__label__a fresh text\n__label__b b text number 1\n", "validation"),
    Case(K.UNSEEN_LABEL, TEXT, GOOD, None, "can't be learnt: z", set(), b"__label__z fresh text\n", "validation"),
    Case(K.FEW_EXAMPLES, TEXT, GOOD + b"__label__rare once\n", None, "1 of 3 labels have fewer than 5 rows: rare"),
    Case(K.IMBALANCE, CSV, b"".join(b"%d,text %d\n" % (n >= 5, n) for n in range(100)), None, "label 1 is on 95.0%"),
]  # fmt: skip


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{n}-{case.format}-{case.kind}" for n, case in enumerate(CASES)]
)
def test_fault(case: Case, tmp_path: Path):
    (tmp_path / "train").write_bytes(case.data)
    validation = None
    if case.validation is not None:
        validation = str(tmp_path / "validation")
        Path(validation).write_bytes(case.validation)
    report = scan(ValidationRequest(str(tmp_path / "train"), case.format, validation))

    assert set(report.faults.counts) == {case.kind} | case.also, report.faults.examples
    fault = report.faults.examples[case.kind][0]
    assert (fault.file, fault.line) == (str(tmp_path / case.file), case.line)
    assert case.message in fault.message.replace(f"{tmp_path}/", "")
    if case.rows is not None:
        assert report.train.rows == case.rows

    fails = any(kind.severity is not Severity.WARNING for kind in report.faults.counts)
    error = report.error()
    assert (error is not None) == fails
    assert report.train.rejected == report.faults.total(Severity.ERROR)
    if fails and not case.also:
        where = f"{tmp_path / case.file}:" + (f"{case.line}:" if case.line else "")
        assert str(error).startswith(f"{where} ")
        assert case.message in str(error).replace(f"{tmp_path}/", "")


def test_every_kind_has_a_case():
    covered = {case.kind for case in CASES} | {kind for case in CASES for kind in case.also}
    assert covered == set(FaultKind) - {K.TOO_MANY_LABELS}  # has a test of its own
    assert all(kind.meaning for kind in FaultKind)


def test_too_many_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kftext.validation.scan.MAX_LABELS", 20)
    path = tmp_path / "ids.csv"
    path.write_bytes(b"".join(b"%d,text %d\n" % (number, number) for number in range(100)))
    report = scan(ValidationRequest(str(path), CSV))
    fault = report.faults.examples[K.TOO_MANY_LABELS][0]
    assert (fault.file, fault.line) == (str(path), 21)
    assert "more than 20 different labels" in str(report.error())


def test_empty_file_among_others_is_a_warning(tmp_path: Path):
    (tmp_path / "1.txt").write_bytes(GOOD)
    (tmp_path / "2.txt").write_bytes(b"")
    report = scan(ValidationRequest(str(tmp_path), TEXT))
    assert set(report.faults.counts) == {K.EMPTY_FILE}
    assert report.error() is None
    assert report.faults.examples[K.EMPTY_FILE][0].file == str(tmp_path / "2.txt")


def test_only_the_first_of_each_kind_are_kept_and_all_are_counted(tmp_path: Path):
    path = tmp_path / "train.txt"
    path.write_bytes(GOOD + b"no label\n__label__a\n" * 50)
    report = scan(ValidationRequest(str(path), TEXT, examples=3))
    assert report.faults.counts == {K.UNLABELED: 50, K.NO_TEXT: 50}
    assert [fault.line for fault in report.faults.examples[K.UNLABELED]] == [11, 13, 15]
    assert [fault.line for fault in report.faults.examples[K.NO_TEXT]] == [12, 14, 16]
    assert "faults: 50 unlabeled, 50 no-text" in str(report.error())


def test_options_are_used(tmp_path: Path):
    path = tmp_path / "train.txt"
    path.write_bytes(GOOD.replace(b"__label__", b"#"))
    options = ReadOptions(label_prefix="#")
    report = scan(ValidationRequest(str(path), TEXT, options=options))
    assert not report.faults.counts
    assert report.train.labels == {"a": 5, "b": 5}

    path.write_bytes(GOOD_MANIFEST.replace(b"source", b"body").replace(b"label", b"class"))
    options = ReadOptions(source_attribute="body", label_attribute="class")
    report = scan(ValidationRequest(str(path), MANIFEST, options=options))
    assert not report.faults.counts
    assert report.train.labels == {"0": 5, "1": 5}
