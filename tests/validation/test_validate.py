"""The step: reports, the Dataset, rejects; what passes and what fails."""

from __future__ import annotations

import base64
import gzip
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from fixtures_s3 import Bucket
from kftext import storage
from kftext.data.dataset import Dataset
from kftext.data.formats import Format, ReadOptions
from kftext.data.readers import read_rows
from kftext.data.tokens import tokenize
from kftext.errors import DataError, StorageError, UsageError
from kftext.validation.request import ValidationRequest
from kftext.validation.step import validate


def labeled(count: int, seed: int = 1) -> list[bytes]:
    generator = random.Random(seed)
    words = [f"word{number}" for number in range(200)]
    return [
        f"__label__{'ab'[number % 2]} {' '.join(generator.choices(words, k=8))}".encode()
        for number in range(count)
    ]


def write(path: Path, lines: list[bytes]) -> str:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return str(path)


def test_clean_data_are_pointed_at_and_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "train.txt", labeled(50))
    write(tmp_path / "valid.txt", labeled(20, seed=2))
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "dataset"
    report = validate(
        ValidationRequest("train.txt", Format.LABELED_TEXT, "valid.txt", output=str(output))
    )
    assert [file.name for file in output.iterdir()] == ["dataset.json"]
    dataset = Dataset.read(output)
    assert dataset.train == str(tmp_path / "train.txt")
    assert dataset.validation == str(tmp_path / "valid.txt")
    assert dataset.statistics == orjson.loads(orjson.dumps(report.statistics()))
    assert dataset.statistics["training"]["rows"] == 50
    assert dataset.statistics["validation"]["labels"] == {"a": 10, "b": 10}


def test_counts_agree_with_counting_plainly(tmp_path: Path):
    lines = [
        *labeled(500),
        b"__label__a \xe6\x97\xa5\xe6\x9c\xac  \xe8\xaa\x9e",
        b"one __label__b __label__a",
    ]
    report = validate(ValidationRequest(write(tmp_path / "t", lines), Format.LABELED_TEXT))
    texts = [
        [word for word in tokenize(line) if not word.startswith(b"__label__")] for line in lines
    ]
    found = report.train.to_dict()
    lengths = sorted(len(text) for text in texts)
    assert found["tokens"] == sum(lengths)
    assert found["tokens_a_row"] == {
        "min": 1, "max": 8, "median": lengths[250], "p95": 8, "p99": 8,
        "mean": round(sum(lengths) / 502, 2),
    }  # fmt: skip
    assert found["distinct_words"] == len({word for text in texts for word in text})
    assert found["labels_a_row"] == {"1": 501, "2": 1}
    assert found["labels"] == {"a": 252, "b": 251}


def test_csv_texts_with_line_breaks_are_counted_right(tmp_path: Path):
    path = tmp_path / "d.csv"
    path.write_bytes(b'0,"one\ntwo three"\n1,four\n0,"five\n\nsix"\n1,seven\n' * 5)
    report = validate(ValidationRequest(str(path), Format.CSV))
    assert report.train.lengths == Counter({3: 5, 1: 10, 2: 5})
    assert report.train.tokens == 35


def test_reports_are_written_and_no_dataset_when_validation_fails(tmp_path: Path):
    lines = labeled(10)
    lines[3] = b"no label <script>alert(1)</script>"
    data = write(tmp_path / "train.txt", lines)
    out = tmp_path / "out"
    request = ValidationRequest(
        data,
        Format.LABELED_TEXT,
        report=str(out / "report.html"),
        json=str(out / "report.json"),
        output=str(out / "dataset"),
    )
    with pytest.raises(DataError) as caught:
        validate(request)
    assert (caught.value.file, caught.value.line) == (data, 4)
    assert str(caught.value) == (
        f"{data}:4: no label: expected a word that starts with __label__ (report: {out}/report.html)"
    )
    assert {file.name for file in out.iterdir()} == {"report.html", "report.json"}
    page = (out / "report.html").read_text()
    assert "Failed. " in page and "no label: expected" in page
    assert "&lt;script&gt;alert(1)" in page and "<script" not in page
    found = orjson.loads((out / "report.json").read_bytes())
    assert (found["passed"], found["error"]) == (False, str(caught.value))
    (fault,) = (fault for fault in found["faults"] if fault["kind"] == "unlabeled")
    assert (fault["severity"], fault["count"]) == ("error", 1)
    assert fault["examples"][0]["line"] == 4


def test_warnings_pass(tmp_path: Path):
    lines = labeled(20)
    data = write(tmp_path / "train.txt", [*lines, b"", lines[0]])
    report = validate(
        ValidationRequest(
            data, Format.LABELED_TEXT, json=str(tmp_path / "r.json"), output=str(tmp_path / "d")
        )
    )
    assert report.faults.counts == {"blank-line": 1, "duplicate": 1}
    assert orjson.loads((tmp_path / "r.json").read_bytes())["passed"]
    assert Dataset.read(tmp_path / "d").train == data


BAD = {
    Format.CORPUS: (b"a good line %d", [b"bad \xff line", b"nul \0 line"]),
    Format.LABELED_TEXT: (
        b"__label__a good text %d",
        [b"no label", b"__label__a", b"__label__b caf\xe9"],
    ),
    Format.MANIFEST: (b'{"source": "text %d", "label": "a"}', [b"{", b'{"source": "x"}', b"[]"]),
    Format.CSV: (b'0,"text\r\n %d"', [b"x,text", b"1", b'1,"a"b', b'1,"\xff\xfe"']),
}


@pytest.mark.parametrize("format", list(Format))
@pytest.mark.parametrize("compressed", [False, True])
def test_accepted_and_rejected_are_all_there_was(tmp_path: Path, format: Format, compressed: bool):
    pattern, bad = BAD[format]
    good = [pattern % number for number in range(40)]
    if format.has_labels:  # a second class
        good += [line.replace(b'"a"', b'"b"').replace(b"0,", b"1,").replace(b"__a", b"__b") + b" " * 0
                 for line in (pattern % number for number in range(40, 50))]  # fmt: skip
    lines = [*good[:10], *bad, *good[10:]]
    data = b"".join(line + b"\n" for line in lines)
    path = tmp_path / "train"
    path.write_bytes(gzip.compress(data) if compressed else data)
    output = tmp_path / "dataset"
    share = len(bad) / len(lines)

    with pytest.raises(DataError, match=r"3 of|4 of|2 of"):
        validate(
            ValidationRequest(
                str(path), format, output=str(output), max_error_fraction=share - 0.001
            )
        )
    assert not output.exists()

    validate(
        ValidationRequest(str(path), format, output=str(output), max_error_fraction=share + 0.001)
    )
    dataset = Dataset.read(output)
    assert Path(dataset.train).read_bytes() == b"".join(line + b"\n" for line in good)
    assert len(list(read_rows(dataset.train, format))) == len(good)
    rejects = [orjson.loads(line) for line in (output / "rejects.jsonl").open("rb")]
    contents = [
        base64.b64decode(reject["content_base64"]) if "content_base64" in reject else reject["content"].encode()
        for reject in rejects
    ]  # fmt: skip
    assert contents == bad
    first = 1 + sum(line.count(b"\n") + 1 for line in good[:10])
    assert [reject["line"] for reject in rejects] == list(range(first, first + len(bad)))
    assert {reject["file"] for reject in rejects} == {str(path)}
    assert {reject["part"] for reject in rejects} == {"training"}
    assert all(reject["reason"] and reject["kind"] for reject in rejects)
    assert dataset.statistics["training"]["rejected"] == len(bad)


def test_rejects_of_validation_data_leave_the_training_data_where_they_are(tmp_path: Path):
    train = write(tmp_path / "train", labeled(40))
    valid = write(tmp_path / "valid", [*labeled(20, seed=2), b"no label"])
    output = tmp_path / "dataset"
    validate(
        ValidationRequest(
            train, Format.LABELED_TEXT, valid, output=str(output), max_error_fraction=0.1
        )
    )
    dataset = Dataset.read(output)
    assert dataset.train == train
    assert dataset.validation == str(output / "validation.txt")
    assert [orjson.loads(line)["part"] for line in (output / "rejects.jsonl").open("rb")] == [
        "validation"
    ]


def test_fatal_faults_are_not_excused(tmp_path: Path):
    (tmp_path / "parts").mkdir()
    write(tmp_path / "parts" / "a", labeled(40))
    (tmp_path / "parts" / "b").write_bytes(b"\x89PNG" + bytes(50))
    output = tmp_path / "dataset"
    with pytest.raises(DataError, match="parts/b: not text: it starts like a PNG picture"):
        validate(
            ValidationRequest(
                str(tmp_path / "parts"),
                Format.LABELED_TEXT,
                output=str(output),
                max_error_fraction=1,
            )
        )
    assert not output.exists()
    with pytest.raises(DataError, match=r"c:1: no label.*3 unlabeled, 1 no-rows"):
        data = write(tmp_path / "c", [b"no label"] * 3)
        validate(
            ValidationRequest(data, Format.LABELED_TEXT, output=str(output), max_error_fraction=1)
        )
    assert not output.exists()


def split_of(
    tmp_path: Path, data: str, name: str, **settings: object
) -> tuple[list[bytes], list[bytes]]:
    output = tmp_path / name
    request = ValidationRequest(
        data, Format.LABELED_TEXT, output=str(output), validation_split_ratio=0.3, **settings
    )
    report = validate(request)
    dataset = Dataset.read(output)
    train, valid = (
        Path(part or "").read_bytes().splitlines() for part in (dataset.train, dataset.validation)
    )
    assert (report.train.rows, report.validation.rows) == (len(train), len(valid))
    assert report.validation.leaks == 0
    assert dataset.statistics["validation"]["rows"] == len(valid)
    return train, valid


def test_split_is_repeatable_complete_and_free_of_leaks(tmp_path: Path):
    lines = labeled(300)
    # The same texts again, under other labels and other white space.
    lines += [
        line.replace(b"__label__a", b"__label__b").replace(b" ", b"  ") for line in lines[:150]
    ]
    data = write(tmp_path / "train", lines)
    train, valid = split_of(tmp_path, data, "first", seed=5)
    assert sorted(train + valid) == sorted(lines)
    assert 0.2 < len(valid) / len(lines) < 0.4
    texts = [{tuple(line.split()[1:]) for line in side} for side in (train, valid)]
    assert not texts[0] & texts[1]
    assert split_of(tmp_path, data, "again", seed=5) == (train, valid)
    assert split_of(tmp_path, data, "other", seed=6) != (train, valid)


def test_split_with_rejects(tmp_path: Path):
    lines = labeled(100)
    data = write(tmp_path / "train", [*lines[:50], b"no label", *lines[50:]])
    train, valid = split_of(tmp_path, data, "split", max_error_fraction=0.1)
    assert sorted(train + valid) == sorted(lines)
    (reject,) = (orjson.loads(line) for line in (tmp_path / "split" / "rejects.jsonl").open("rb"))
    assert (reject["line"], reject["content"]) == (51, "no label")


def test_given_validation_data_are_used_and_nothing_is_split_off(tmp_path: Path):
    train = write(tmp_path / "train", labeled(40))
    valid = write(tmp_path / "valid", labeled(20, seed=2))
    output = tmp_path / "dataset"
    validate(
        ValidationRequest(
            train, Format.LABELED_TEXT, valid, output=str(output), validation_split_ratio=0.5
        )
    )
    assert (Dataset.read(output).train, Dataset.read(output).validation) == (train, valid)


@pytest.mark.parametrize(("ratio", "side"), [(1e-9, "validation"), (1 - 1e-9, "training")])
def test_split_that_leaves_a_side_empty(tmp_path: Path, ratio: float, side: str):
    data = write(tmp_path / "train", labeled(10))
    with pytest.raises(DataError, match=f"leaves no row for {side}"):
        validate(ValidationRequest(data, Format.LABELED_TEXT, validation_split_ratio=ratio))


def test_options_travel_with_the_dataset(tmp_path: Path):
    data = write(tmp_path / "train", [line.replace(b"__label__", b"#") for line in labeled(20)])
    options = ReadOptions(label_prefix="#")
    validate(
        ValidationRequest(data, Format.LABELED_TEXT, output=str(tmp_path / "d"), options=options)
    )
    dataset = Dataset.read(tmp_path / "d")
    assert len(list(read_rows(dataset.train, dataset.format, dataset.options))) == 20


@pytest.mark.parametrize(
    "settings",
    [
        {"data": ""},
        {"max_error_fraction": -0.1},
        {"max_error_fraction": 1.5},
        {"validation_split_ratio": 1.0},
        {"examples": 0},
        {"texts_in_memory": 0},
    ],
)
def test_wrong_requests(settings: dict[str, object]):
    with pytest.raises(UsageError, match=next(iter(settings))):
        ValidationRequest(**{"data": "x", "format": Format.CORPUS} | settings)


def test_missing_data_leave_nothing_behind(tmp_path: Path):
    request = ValidationRequest(
        str(tmp_path / "absent"),
        Format.CORPUS,
        report=str(tmp_path / "r.html"),
        output=str(tmp_path / "d"),
    )
    with pytest.raises(StorageError, match="absent"):
        validate(request)
    assert not any(tmp_path.iterdir())


def test_spilling_gives_the_same_report(tmp_path: Path):
    lines = labeled(3000)
    data = write(tmp_path / "train", lines + lines[::3])
    valid = write(tmp_path / "valid", labeled(100, seed=2) + lines[:50])
    reports = [
        validate(ValidationRequest(data, Format.LABELED_TEXT, valid, texts_in_memory=limit))
        for limit in (1 << 20, 100)
    ]
    first, second = (report.to_dict() | {"seconds": 0} for report in reports)
    assert first == second
    assert reports[0].train.duplicates == 1000
    assert reports[0].validation.leaks == 50


def test_buckets(tmp_path: Path, s3: Bucket):
    lines = [*labeled(200), b"no label"]
    for name, part in (("a.txt.gz", lines[:90]), ("b.txt", lines[90:])):
        data = b"".join(line + b"\n" for line in part)
        with storage.open_writer(s3.uri(f"train/{name}")) as stream:
            stream.write(gzip.compress(data) if name.endswith(".gz") else data)
    request = ValidationRequest(
        s3.uri("train"),
        Format.LABELED_TEXT,
        report=s3.uri("out/report.html"),
        json=s3.uri("out/report.json"),
        output=s3.uri("out/dataset"),
        validation_split_ratio=0.2,
    )
    with pytest.raises(DataError, match=r"train/b\.txt:111: no label"):
        validate(request)
    assert storage.list_files(s3.uri("out")) == [
        s3.uri("out/report.html"),
        s3.uri("out/report.json"),
    ]

    validate(replace(request, max_error_fraction=0.01))
    dataset = Dataset.read(s3.uri("out/dataset"))
    assert (dataset.train, dataset.validation) == (
        s3.uri("out/dataset/train.txt"),
        s3.uri("out/dataset/validation.txt"),
    )
    found = [
        row.content
        for part in (dataset.train, dataset.validation)
        for row in read_rows(part, dataset.format)
    ]
    assert sorted(found) == sorted(lines[:-1])


def test_clean_data_in_a_bucket_are_pointed_at(tmp_path: Path, s3: Bucket):
    with storage.open_writer(s3.uri("train.txt")) as stream:
        stream.write(b"".join(line + b"\n" for line in labeled(20)))
    validate(
        ValidationRequest(s3.uri("train.txt"), Format.LABELED_TEXT, output=str(tmp_path / "d"))
    )
    assert Dataset.read(tmp_path / "d").train == s3.uri("train.txt")


def test_cooking(data_dir: Path, tmp_path: Path):
    report = validate(
        ValidationRequest(
            str(data_dir / "cooking/cooking.train.txt"),
            Format.LABELED_TEXT,
            str(data_dir / "cooking/cooking.valid.txt"),
            report=str(tmp_path / "report.html"),
        )
    )
    assert (report.train.rows, report.validation.rows) == (12404, 3000)
    assert (len(report.train.labels), len(report.validation.labels)) == (735, 629)
    # fastText's own model of this file has 8,952 words, one of them the end of sentence.
    assert report.train.distinct_words() == (8951, True)
    assert (tmp_path / "report.html").read_text().count("<svg") == 4
