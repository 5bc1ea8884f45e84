"""The Dataset artifact."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kftext.data.dataset import Dataset
from kftext.data.formats import Format, ReadOptions
from kftext.errors import DataError, StorageError


def test_what_is_written_is_read(tmp_path: Path):
    options = ReadOptions(label_prefix="#")
    dataset = Dataset(
        Format.CSV, "/data/train", "s3://bucket/valid", {"training": {"rows": 3}}, options
    )
    dataset.write(tmp_path)
    assert Dataset.read(tmp_path) == dataset


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("train.txt", "{folder}/train.txt"),
        ("/data/train.txt", "/data/train.txt"),
        ("s3://bucket/train", "s3://bucket/train"),
        ("file:///data/train", "file:///data/train"),
    ],
)
def test_relative_paths_lie_in_the_folder(tmp_path: Path, monkeypatch, written: str, read: str):
    (tmp_path / "dataset").mkdir()
    Dataset(Format.CORPUS, written, written).write(tmp_path / "dataset")
    monkeypatch.chdir(tmp_path)
    found = Dataset.read("dataset")
    assert found.train == found.validation == read.format(folder=tmp_path / "dataset")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON"),
        ("[]", "expected a JSON object"),
        ('{"format": "corpus"}', '"train"'),
        ('{"format": "parquet", "train": "x"}', "one of corpus, labeled-text, manifest, csv"),
        ('{"format": "corpus", "train": "x", "validation": 1}', '"validation" is 1'),
        ('{"format": "corpus", "train": "x", "options": {"prefix": "#"}}', "label_prefix"),
    ],
)
def test_broken_files(tmp_path: Path, content: str, message: str):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(DataError, match=r"dataset\.json") as caught:
        Dataset.read(tmp_path)
    assert message in str(caught.value)


def test_optional_parts(tmp_path: Path):
    (tmp_path / "dataset.json").write_text(json.dumps({"format": "corpus", "train": "/x"}))
    assert Dataset.read(tmp_path) == Dataset(Format.CORPUS, "/x")
    with pytest.raises(StorageError):
        Dataset.read(tmp_path / "absent")
