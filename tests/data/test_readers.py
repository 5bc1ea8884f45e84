"""Readers of each format: rows as they are meant, on made and on real data."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kftext.data import lines
from kftext.data.formats import Format, ReadOptions
from kftext.data.readers import read, read_rows
from kftext.data.rows import Fault, FaultKind, Row, to_labeled_text
from kftext.errors import DataError, StorageError, UsageError


def rows_of(path: Path, format: Format, options: ReadOptions | None = None) -> list[Row]:
    return list(read_rows(str(path), format, options))


def test_corpus(tmp_path: Path):
    path = tmp_path / "corpus.txt"
    path.write_bytes("  the cat \r\n\n\tsat: naïve\nlast".encode())
    assert [(row.line, row.labels, row.text) for row in rows_of(path, Format.CORPUS)] == [
        (1, (), "the cat"),
        (3, (), "sat: naïve"),
        (4, (), "last"),
    ]


def test_labels_stand_anywhere_on_the_line(tmp_path: Path):
    path = tmp_path / "train.txt"
    path.write_bytes(
        b"__label__a __label__b first  words\r\n"
        b"words __label__a between __label__c\n"
        b"__label__a not-a__label__b here\n"
        b"last __label__ab"
    )
    found = rows_of(path, Format.LABELED_TEXT)
    assert [(row.labels, row.text) for row in found] == [
        (("a", "b"), "first words"),
        (("a", "c"), "words between"),
        (("a",), "not-a__label__b here"),
        (("ab",), "last"),
    ]
    assert found[0].content == b"__label__a __label__b first  words\r"
    assert to_labeled_text(found[1]) == b"__label__a __label__c words between\n"
    assert to_labeled_text(found[3], "#") == b"#ab last\n"


def test_manifest_labels(tmp_path: Path):
    path = tmp_path / "train.jsonl"
    labels = [1, 1.0, 2.5, "a", "__label__b", [1, 3], ["x", 2]]
    path.write_text(
        "".join(
            json.dumps({"source": f"text\n{n}", "label": label, "extra": None}) + "\n"
            for n, label in enumerate(labels)
        )
    )
    found = rows_of(path, Format.MANIFEST)
    assert [row.labels for row in found] == [
        ("1",), ("1",), ("2.5",), ("a",), ("b",), ("1", "3"), ("x", "2"),
    ]  # fmt: skip
    assert found[0].text == "text\n0"
    assert to_labeled_text(found[5]) == b"__label__1 __label__3 text 5\n"


def test_csv_quoting(tmp_path: Path):
    path = tmp_path / "data.csv"
    path.write_bytes(
        b'0,plain\r\n1,"a, ""b""\nover lines"\n 01 ,spaces \n-3,"five 5"" disks"\n2,5" disk\n4,last'
    )
    assert [(row.line, row.labels, row.text) for row in rows_of(path, Format.CSV)] == [
        (1, ("0",), "plain"),
        (2, ("1",), 'a, "b"\nover lines'),
        (4, ("1",), "spaces"),
        (5, ("-3",), 'five 5" disks'),
        (6, ("2",), '5" disk'),
        (7, ("4",), "last"),
    ]


FIELDS = st.text(alphabet='ab, "\n\ré', max_size=10).filter(lambda text: text.strip(" \n\r"))


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None
)
@given(st.lists(st.tuples(st.integers(0, 99), FIELDS), min_size=1, max_size=20), st.integers(8, 60))
def test_csv_reads_what_the_csv_module_writes(tmp_path: Path, records, block: int):
    output = io.StringIO(newline="")
    csv.writer(output).writerows(records)
    path = tmp_path / "data.csv"
    path.write_bytes(output.getvalue().encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", block)
        found = rows_of(path, Format.CSV)
    assert [(int(row.labels[0]), row.text) for row in found] == [
        (label, text.strip()) for label, text in records
    ]
    # The contents, each with a line feed, are the file again.
    assert b"".join(row.content + b"\n" for row in found) == path.read_bytes()


def test_one_stray_quote_costs_one_line(tmp_path: Path):
    path = tmp_path / "data.csv"
    good = [f"{number % 2},row {number}" for number in range(1000)]
    path.write_text("\n".join([*good[:500], '1,"stray', *good[500:]]) + "\n")
    items = list(read(str(path), Format.CSV))
    faults = [item for item in items if isinstance(item, Fault)]
    assert [(fault.kind, fault.line, fault.content) for fault in faults] == [
        (FaultKind.BAD_CSV, 501, b'1,"stray')
    ]
    assert [item.text for item in items if isinstance(item, Row)] == [
        f"row {number}" for number in range(1000)
    ]


def test_csv_record_longer_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kftext.data.csv.MAX_LINE", 200)
    path = tmp_path / "data.csv"
    path.write_text('0,first\n1,"open\n' + "0,row\n" * 100)
    items = list(read(str(path), Format.CSV))
    assert [item.kind for item in items if isinstance(item, Fault)] == [FaultKind.BAD_CSV]
    assert len([item for item in items if isinstance(item, Row)]) == 101


def test_csv_record_with_an_overlong_line_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lines, "BLOCK", 50)
    monkeypatch.setattr(lines, "MAX_LINE", 100)
    path = tmp_path / "data.csv"
    path.write_text('0,first\n1,"starts\n' + "x" * 300 + '\nends"\n0,last\n')
    items = list(read(str(path), Format.CSV))
    # What is left of the record is not taken for a row.
    assert [item.text for item in items if isinstance(item, Row)] == ["first", "last"]
    assert [(item.kind, item.line) for item in items if isinstance(item, Fault)] == [
        (FaultKind.OVERLONG_LINE, 3),
        (FaultKind.BAD_CSV, 2),
        (FaultKind.ONE_COLUMN, 4),
    ]


def test_folder_and_gzip_are_one_data_set(tmp_path: Path):
    folder = tmp_path / "parts"
    (folder / "deeper").mkdir(parents=True)
    (folder / "b.txt").write_bytes(b"second\n")
    (folder / "a.txt.gz").write_bytes(gzip.compress(b"first\n"))
    (folder / "deeper" / "c.txt").write_bytes(b"third, no line feed")
    (folder / ".hidden").write_bytes(b"never\n")
    found = rows_of(folder, Format.CORPUS)
    assert [row.text for row in found] == ["first", "second", "third, no line feed"]
    assert [(Path(row.file).name, row.line) for row in found] == [
        ("a.txt.gz", 1),
        ("b.txt", 1),
        ("c.txt", 1),
    ]


def test_read_rows_raises_the_first_error(tmp_path: Path):
    path = tmp_path / "train.txt"
    path.write_bytes(b"__label__a text\n\nno label\n")
    with pytest.raises(DataError, match="no label") as caught:
        rows_of(path, Format.LABELED_TEXT)
    assert (caught.value.file, caught.value.line) == (str(path), 3)
    path.write_bytes(b"\n")
    with pytest.raises(DataError, match="nothing to train on"):
        rows_of(path, Format.LABELED_TEXT)
    with pytest.raises(StorageError):
        rows_of(tmp_path / "absent", Format.CORPUS)


def test_options_are_checked():
    for options in (
        {"label_prefix": ""},
        {"label_prefix": "a b"},
        {"source_attribute": ""},
        {"source_attribute": "x", "label_attribute": "x"},
    ):
        with pytest.raises(UsageError):
            ReadOptions(**options)
    with pytest.raises(UsageError, match="one of corpus, labeled-text, manifest, csv"):
        Format.parse("parquet")


def test_cooking(data_dir: Path):
    for name, rows, labels in (("train", 12404, 735), ("valid", 3000, 629)):
        path = data_dir / f"cooking/cooking.{name}.txt"
        found = rows_of(path, Format.LABELED_TEXT)
        assert len(found) == rows
        assert len({label for row in found for label in row.labels}) == labels
        assert {len(row.labels) for row in found} == {1, 2, 3, 4, 5}
        expected = [sorted(line.split()) for line in path.read_bytes().splitlines()]
        assert [sorted(to_labeled_text(row).split()) for row in found] == expected


def test_ag_news(data_dir: Path):
    path = data_dir / "ag_news/test.csv"
    items = list(read(str(path), Format.CSV))
    found = [item for item in items if isinstance(item, Row)]
    assert Counter(row.labels[0] for row in found) == {str(label): 1900 for label in range(1, 5)}
    with path.open(newline="", encoding="utf-8") as stream:
        assert [row.text for row in found] == [record[1].strip() for record in csv.reader(stream)]
    assert {item.kind for item in items if isinstance(item, Fault)} == {FaultKind.EXTRA_COLUMNS}


def test_headers_of_real_files_are_found(data_dir: Path):
    for name, format in (
        ("ag_news/train_part_jointmatch_dev8k.csv", Format.CSV),
        ("ag_news/train_part_metarep_5k.csv", Format.CSV),
        ("ag_news/train_part_noisyag_val10k.csv", Format.CSV),
        ("sst2/glue_dev.tsv", Format.LABELED_TEXT),
    ):
        first = next(iter(read(str(data_dir / name), format)))
        assert isinstance(first, Fault), name
        assert (first.kind, first.line) == (FaultKind.HEADER, 1), name


def test_rows_of_real_files_are_not_taken_for_headers(data_dir: Path):
    items = list(read(str(data_dir / "ag_news/train_part_jointmatch_dev8k.csv"), Format.CSV))
    assert Counter(item.labels for item in items if isinstance(item, Row)) == {
        (str(label),): 2000 for label in range(1, 5)
    }
    faults = list(read(str(data_dir / "sst2/sentences_train.tsv"), Format.CSV))
    assert FaultKind.HEADER not in {item.kind for item in faults if isinstance(item, Fault)}
    tabs = [
        item for item in faults if isinstance(item, Fault) and "separated by tabs" in item.message
    ]
    assert len(tabs) > 3000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.lists(
            st.sampled_from(
                ["__label__a", "__label__b", "word", "x__label__a", " ", "\t", "\r", "é"]
            ),
            max_size=8,
        ).map(" ".join),
        min_size=1,
        max_size=10,
    )
)
def test_labels_and_words_are_the_tokens_of_the_line(tmp_path: Path, texts: list[str]):
    path = tmp_path / "train.txt"
    path.write_bytes(b"".join(text.encode() + b"\n" for text in texts))
    found = {row.line: row for row in read(str(path), Format.LABELED_TEXT) if isinstance(row, Row)}
    for number, text in enumerate(texts, 1):
        tokens = text.split()
        labels = tuple(token[9:] for token in tokens if token.startswith("__label__"))
        words = [token for token in tokens if not token.startswith("__label__")]
        if labels and words:
            assert (found[number].labels, found[number].text) == (labels, " ".join(words))
        else:
            assert number not in found
