"""The data rules: every wrong input has its message, with file and line."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kftext.data.formats import Format
from kftext.errors import DataError, StorageError, UsageError
from kftext.text_classification.examples import Source, held_out_rows, read_examples

Folder = Callable[..., str]
GOOD = '0,bad\n1,good\n1,"said ""yes"", twice\nand again"\n'

WRONG = {
    "a header": (
        "label,text\n0,a\n1,b\n",
        1,
        "not an integer: the file seems to start with a header",
    ),
    "a label that is no integer": (
        "0,a\npositive,b\n",
        2,
        "column 1 is 'positive': expected an integer",
    ),
    "a fraction": (
        "0,a\n1.5,b\n",
        2,
        "column 1 is '1.5': expected an integer class label, 0 to n-1",
    ),
    "swapped columns": ("0,a\ngood,1\n", 2, "swap them"),
    "an empty text": ("0,a\n1,\n", 2, "column 2 is empty: expected a text"),
    "one column": (
        "0,a\n1\n",
        2,
        "one column: expected an integer class label, a comma and the text",
    ),
    "tabs": ("0\ta\n1\tb\n", 1, "separated by tabs"),
    "an open quote": ('0,a\n1,"b\n', 2, "a quote that is opened here is never closed"),
    "bad UTF-8": (b"0,a\n1,caf\xe9\n", 2, "UTF-8"),
    "UTF-16": ("0,a\n1,b\n".encode("utf-16"), None, "UTF-16"),
    "no rows": ("", None, "nothing to train on"),
    "one class": ("1,a\n1,b\n", None, "all rows have the same label (1): expected at least two"),
}


@pytest.mark.parametrize(("content", "line", "message"), WRONG.values(), ids=WRONG)
def test_wrong_data(
    csv_folder: Folder, tmp_path: Path, content: str | bytes, line: int | None, message: str
) -> None:
    folder = csv_folder(content)
    with pytest.raises(DataError) as error:
        read_examples(Source(folder), tmp_path / "work")
    assert message in str(error.value)
    assert folder in str(error.value)
    assert line is None or f"data.csv:{line}: " in str(error.value)


def test_rows_are_read_as_they_stand(csv_folder: Folder, tmp_path: Path) -> None:
    examples = read_examples(Source(csv_folder(GOOD) + "/"), tmp_path / "work")
    assert examples.text([2, 0]) == [b'said "yes", twice\nand again', b"bad"]
    assert examples.labels.tolist() == [0, 1, 1]
    assert examples.classes == ("0", "1")


def test_labels_with_gaps_are_mapped_in_order_of_value(
    csv_folder: Folder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        examples = read_examples(Source(csv_folder("10,a\n-2,b\n9,c\n10,d\n")), tmp_path / "work")
    assert examples.classes == ("-2", "9", "10")
    assert examples.labels.tolist() == [2, 0, 1, 2]
    assert (
        "labels are not 0 to 2: -2, 9, 10 are mapped to class indexes in that order" in caplog.text
    )


def test_a_text_that_is_cut_at_a_comma_is_warned_of_once(
    csv_folder: Folder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = csv_folder("0,a\n1,good, and long\n\n0,b,c\n1,d\n")
    with caplog.at_level(logging.WARNING):
        examples = read_examples(Source(folder), tmp_path / "work")
    assert examples.text([1]) == [b"good"]
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{folder}/data.csv:2: 3 columns: only the second is")
    assert record.getMessage().endswith("quote it (1 more such lines)")


def test_windows_files_and_texts_over_several_lines(csv_folder: Folder, tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf0,"a\r\nb"\r\n"1",c\r\n'
    examples = read_examples(Source(csv_folder(content)), tmp_path / "work")
    assert (examples.classes, examples.text([0, 1])) == (("0", "1"), [b"a\r\nb", b"c"])


def test_data_csv_is_read_and_other_files_beside_it_are_not(
    csv_folder: Folder, tmp_path: Path
) -> None:
    folder = csv_folder(GOOD)
    Path(folder, "notes.csv").write_text("not,data\n")
    assert len(read_examples(Source(folder), tmp_path / "work")) == 3
    Path(folder, "data.csv").rename(tmp_path / "other.csv")
    assert len(read_examples(Source(str(tmp_path / "other.csv")), tmp_path / "work")) == 3
    with pytest.raises(StorageError, match="nowhere"):
        read_examples(Source(str(tmp_path / "nowhere")), tmp_path / "work")


def test_a_label_that_only_validation_has(csv_folder: Folder, tmp_path: Path) -> None:
    train = read_examples(Source(csv_folder(GOOD)), tmp_path / "work")
    with pytest.raises(
        DataError, match=r"data\.csv:2: label '7' is not among those of the training"
    ):
        read_examples(Source(csv_folder("0,x\n7,y\n", "valid")), tmp_path / "work", train.classes)


def test_other_formats_with_one_label(tmp_path: Path) -> None:
    path = tmp_path / "data.txt"
    path.write_text("__label__pos good\n__label__neg bad\n")
    source = Source(str(path), Format.LABELED_TEXT)
    assert read_examples(source, tmp_path / "work").classes == ("neg", "pos")
    path.write_text("__label__pos good\n__label__neg __label__pos bad\n")
    with pytest.raises(DataError, match=r"data\.txt:2: 2 labels \(neg, pos\): expected one"):
        read_examples(source, tmp_path / "work")
    with pytest.raises(UsageError, match="labelled data"):
        read_examples(Source(str(path), Format.CORPUS), tmp_path / "work")


@pytest.fixture
def unbalanced(csv_folder: Folder, tmp_path: Path):
    rows = [f"{0 if i % 10 else 1},text {i % 170}" for i in range(200)]
    return read_examples(Source(csv_folder("\n".join(rows))), tmp_path / "work")


def test_the_split_is_seeded_and_stratified(unbalanced) -> None:
    held_out = held_out_rows(unbalanced, 0.2, 7)
    assert (held_out_rows(unbalanced, 0.2, 7) == held_out).all()
    assert (held_out_rows(unbalanced, 0.2, 8) != held_out).any()
    for label in (0, 1):
        share = held_out[unbalanced.labels == label].mean()
        assert share == pytest.approx(0.2, abs=0.06)
    assert not held_out_rows(unbalanced, 0.0, 7).any()


def test_equal_texts_stay_on_one_side(unbalanced) -> None:
    held_out = held_out_rows(unbalanced, 0.2, 7)
    texts = np.array(unbalanced.text(range(len(unbalanced))))
    assert not set(texts[held_out]) & set(texts[~held_out])
    assert held_out.any()


def test_each_class_keeps_a_text_to_train_on(csv_folder: Folder, tmp_path: Path) -> None:
    examples = read_examples(Source(csv_folder("0,a\n0,b\n1,c\n1,d\n2,e\n")), tmp_path / "work")
    held_out = held_out_rows(examples, 0.99, 0)
    assert held_out[:2].sum() == held_out[2:4].sum() == 1
    assert not held_out[4]
    lonely = read_examples(Source(csv_folder("0,a\n1,b\n")), tmp_path / "work")
    with pytest.raises(DataError, match="too few distinct texts"):
        held_out_rows(lonely, 0.5, 0)


LIMITED = """
import resource, sys
from pathlib import Path
from kftext.text_classification.examples import Source, held_out_rows, read_examples

def used():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmData")).split()[1]) << 10

resource.setrlimit(resource.RLIMIT_DATA, (used() + int(sys.argv[3]),) * 2)
examples = read_examples(Source(sys.argv[1]), Path(sys.argv[2]))
held_out = held_out_rows(examples, 0.2, 0)
print(len(examples), int(examples.offsets[-1]), int(held_out.sum()), len(examples.text([7])[0]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_data_larger_than_memory_are_streamed(csv_folder: Folder, tmp_path: Path) -> None:
    folder = csv_folder("")
    rows, length, limit = 20_000, 6_000, 48 << 20
    with Path(folder, "data.csv").open("w") as file:
        for number in range(rows):
            file.write(f"{number % 3},{number:06}{'x' * (length - 6)}\n")
    assert rows * length > 2 * limit
    command = [sys.executable, "-c", LIMITED, folder, str(tmp_path / "work"), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-2000:]
    count, size, held_out, first = map(int, done.stdout.split())
    assert (count, size, first) == (rows, rows * length, length)
    assert held_out == pytest.approx(rows / 5, abs=3)
