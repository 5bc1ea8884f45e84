"""Local paths: what they may look like, and files that are whole or not there, whatever happens to the process."""

from __future__ import annotations

import io
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kftext import storage
from kftext.errors import StorageError


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("s3://bucket/key", True),
        ("minio://bucket/key", True),
        ("S3://bucket", True),
        ("s3:/bucket/key", True),  # what pathlib makes of s3://bucket/key
        (Path("s3://bucket/key"), True),
        ("/s3/bucket", False),
        ("file:///tmp/x", False),
        ("~/x", False),
        (Path("a/b"), False),
        ("s3", False),
    ],
)
def test_is_remote(path, remote):
    assert storage.is_remote(path) is remote


@pytest.mark.parametrize(
    "path", ["", "s3://", "s3:///key", "gs://bucket/key", "https://host/x", "file://host/x", "a\0b"]
)
def test_paths_that_are_none(path):
    with pytest.raises(StorageError, match=r"expected|not a path"):
        storage.exists(path)


def test_join():
    assert storage.join("s3://b", "k") == "s3://b/k"
    assert storage.join("s3://b/p/", "/k/", "l") == "s3://b/p/k/l"
    assert storage.join("minio://b/p", "k") == "minio://b/p/k"
    assert storage.join("s3://b/p", "") == "s3://b/p"
    assert storage.join("/a", "b", "c") == "/a/b/c"
    assert storage.join("file:///a%20b", "c") == "/a b/c"


def test_home_and_file_uris(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with storage.open_writer("~/a folder/ünï.txt") as writer:
        writer.write(b"hello")
    assert (tmp_path / "a folder" / "ünï.txt").read_bytes() == b"hello"
    uri = (tmp_path / "a folder" / "ünï.txt").as_uri()
    with storage.open_reader(uri, offset=1) as reader:
        assert reader.read() == b"ello"
    assert storage.list_files(uri) == [str(tmp_path / "a folder" / "ünï.txt")]


def test_listing(tmp_path):
    for name in ("b.txt", "a/c.txt", ".hidden", "a/.git/x", "target"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link.txt").symlink_to("target")
    (tmp_path / "empty").mkdir()
    assert storage.list_files(tmp_path) == [
        str(tmp_path / n) for n in ("a/c.txt", "b.txt", "link.txt", "target")
    ]
    assert storage.size(tmp_path) == len("a/c.txt") + len("b.txt") + 2 * len("target")
    assert storage.list_files(tmp_path / ".hidden") == [str(tmp_path / ".hidden")]
    with pytest.raises(StorageError, match="the folder holds no files"):
        storage.list_files(tmp_path / "empty")
    with pytest.raises(StorageError, match=r"no such file or folder: .*nothing"):
        storage.size(tmp_path / "nothing")


def test_errors_name_the_path(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"no such file or folder: .*/nothing"):
        storage.open_reader(tmp_path / "nothing")
    with pytest.raises(StorageError, match="is a folder"):
        storage.open_reader(tmp_path)
    with pytest.raises(StorageError, match="is a folder"), storage.open_writer(tmp_path):
        pass
    with (
        pytest.raises(StorageError, match=r"file.*(Not a directory|File exists)"),
        storage.open_writer(tmp_path / "file" / "x"),
    ):
        pass
    with (
        pytest.raises(StorageError, match="no such file"),
        storage.local_copy(tmp_path / "nothing"),
    ):
        pass
    with (
        pytest.raises(StorageError, match="is a file"),
        storage.atomic_directory(tmp_path / "file"),
    ):
        pass
    with pytest.raises(StorageError, match="expected a local path"):
        storage.download(tmp_path / "file", "s3://bucket/key")
    assert names(tmp_path) == ["file"]


def test_a_full_disk_is_an_error_of_ours():
    with (
        pytest.raises(StorageError, match="/dev/full: No space left on device"),
        storage.open_writer("/dev/full") as writer,
    ):
        writer.write(b"x" * (2 << 20))


def test_writer_is_atomic(tmp_path):
    path = tmp_path / "deep" / "file"
    with storage.open_writer(path) as writer:
        writer.write(b"one")
        assert not path.exists()
    assert path.read_bytes() == b"one"
    with pytest.raises(RuntimeError), storage.open_writer(path) as writer:
        writer.write(b"two")
        raise RuntimeError
    with pytest.raises(KeyboardInterrupt), storage.open_writer(tmp_path / "new") as writer:
        raise KeyboardInterrupt
    assert path.read_bytes() == b"one"
    assert names(tmp_path) == ["deep", "deep/file"]


def test_permissions_links_and_devices(tmp_path):
    umask = os.umask(0o027)
    try:
        with storage.open_writer(tmp_path / "file"):
            pass
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
        (tmp_path / "file").chmod(0o604)
        (tmp_path / "link").symlink_to("file")
        with storage.open_writer(tmp_path / "link") as writer, io.TextIOWrapper(writer) as text:
            text.write("through the link")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "file").read_text() == "through the link"
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o604
        with storage.open_writer("/dev/null") as writer:
            writer.write(b"x")
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    finally:
        os.umask(umask)


KILLED = """
import os, signal, sys
from kftext import storage
with storage.open_writer(sys.argv[1]) as writer, storage.atomic_directory(sys.argv[2]) as folder:
    (folder / "model.bin").write_bytes(b"half")
    writer.write(b"half" * 1_000_000)
    writer.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / "file", tmp_path / "model"], timeout=600
    )
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "file").read_bytes() == b"old"
    assert storage.list_files(tmp_path) == [str(tmp_path / "file")]
    assert all(path.name.startswith(".") for path in tmp_path.iterdir() if path.name != "file")


def test_atomic_directory_appears_whole(tmp_path):
    for target in (tmp_path / "new" / "model", tmp_path / "empty"):
        if target.name == "empty":
            target.mkdir()
        with storage.atomic_directory(target) as folder:
            (folder / "model.bin").write_bytes(b"x")
            assert not target.exists() or not any(target.iterdir())
        assert names(target) == ["model.bin"]
    with pytest.raises(RuntimeError), storage.atomic_directory(tmp_path / "failed") as folder:
        (folder / "model.bin").write_bytes(b"x")
        raise RuntimeError
    assert names(tmp_path) == [
        "empty",
        "empty/model.bin",
        "new",
        "new/model",
        "new/model/model.bin",
    ]


def test_atomic_directory_keeps_what_is_not_its_own(tmp_path):
    """`--model-dir .` must never cost a user the other files there, nor leave a mixture of two models."""
    (tmp_path / "train.txt").write_text("the user's")
    for name in ("model.bin", "vectors.txt", "1/old.pb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    with storage.atomic_directory(tmp_path, owned=("model.bin", "vectors.txt")) as folder:
        (folder / "model.bin").write_text("new")
        (folder / "1").mkdir()
        (folder / "1" / "new.pb").write_text("new")
        assert (tmp_path / "model.bin").read_text() == "old"
    assert names(tmp_path) == ["1", "1/new.pb", "model.bin", "train.txt"]
    assert (tmp_path / "model.bin").read_text() == "new"
    with pytest.raises(RuntimeError), storage.atomic_directory(tmp_path) as folder:
        (folder / "model.bin").write_text("newer")
        raise RuntimeError
    assert (tmp_path / "model.bin").read_text() == "new"
    assert names(tmp_path) == ["1", "1/new.pb", "model.bin", "train.txt"]


def test_copies_between_local_places(tmp_path):
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "x").write_text("x")
    storage.upload(tmp_path / "in", tmp_path / "out")
    assert names(tmp_path / "out") == ["a", "a/x"]
    assert storage.download(tmp_path / "in" / "a" / "x", tmp_path / "out") == tmp_path / "out" / "x"
    with storage.local_copy(tmp_path / "in") as copy:
        assert copy == tmp_path / "in"
