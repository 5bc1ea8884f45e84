"""The first step of a run: another digest when, and only when, what lies under a URI is another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixtures_s3 import Bucket
from kftext import storage
from kftext.errors import StorageError
from kftext.runs.inputs.resolve import resolve


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "part").mkdir(parents=True)
    (folder / "a.txt").write_text("one\n")
    (folder / "part" / "b.txt").write_text("two\n")
    return folder


def digest(**places: object) -> str:
    return resolve({name: str(uri) for name, uri in places.items()})[0]


def test_content_not_its_time_is_what_counts(data: Path) -> None:
    before = digest(data=data)
    os.utime(data / "a.txt", (1, 1))
    assert digest(data=data) == before
    (data / ".hidden").write_text("not read by any step")
    assert digest(data=data) == before


@pytest.mark.parametrize("change", ["content", "name", "new file", "one less"])
def test_a_change_gives_another_digest(data: Path, change: str) -> None:
    before = digest(data=data)
    match change:
        case "content":
            (data / "a.txt").write_text("1ne\n")
        case "name":
            (data / "a.txt").rename(data / "c.txt")
        case "new file":
            (data / "c.txt").write_text("")
        case "one less":
            (data / "a.txt").unlink()
    assert digest(data=data) != before


def test_a_single_files_own_name_does_not_count(data: Path) -> None:
    before = storage.content_of(data / "a.txt")
    assert (before.files, before.size) == (1, 4)
    renamed = (data / "a.txt").rename(data / "renamed.txt")
    assert storage.content_of(renamed) == before


def test_objects_are_told_apart_by_what_the_store_says(every_s3: Bucket) -> None:
    for name, content in (("texts/a.txt", b"one\n"), ("texts/part/b.txt", b"two\n")):
        every_s3.put(name, content)
    prefix = every_s3.uri("texts/")
    before = digest(data=prefix)
    every_s3.put("other/c.txt", b"beside it")
    every_s3.put("texts/a.txt", b"one\n")
    assert digest(data=prefix) == before
    assert storage.content_of(prefix).size == 8
    one = storage.content_of(every_s3.uri("texts/a.txt"))
    every_s3.put("texts/a.txt", b"1ne\n")
    assert digest(data=prefix) != before
    assert storage.content_of(every_s3.uri("texts/a.txt")) != one
    with pytest.raises(StorageError, match="no such object or prefix"):
        storage.content_of(every_s3.uri("nothing/"))


def test_what_is_not_given_does_not_count_and_what_is_missing_is_an_error(data: Path) -> None:
    assert digest(data=data, validation_data="") == digest(data=data)
    assert digest(data=data, validation_data=data) != digest(data=data)
    with pytest.raises(StorageError, match="no such file or folder"):
        digest(data=data / "missing")


def test_ids_and_handles_stand_for_themselves(data: Path) -> None:
    places = {"data": str(data)}
    ids = ("tensorflow-tc-bert", "https://tfhub.dev/google/nnlm/2", str(data / "a.txt"))
    digests = {resolve(places, {"encoder": name})[0] for name in ids}
    assert len(digests) == 3
    _, described = resolve(places, {"encoder": ids[0]})
    assert described["encoder"] == {"uri": ids[0]}
    _, described = resolve(places, {"encoder": ids[2]})
    assert described["encoder"]["digest"] == storage.content_of(ids[2]).digest
    assert described["data"]["files"] == 2
