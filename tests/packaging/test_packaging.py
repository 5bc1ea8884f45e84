"""Archives: what goes in comes out, in the same bytes each time, and nothing hostile gets in."""

from __future__ import annotations

import copy
import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from kftext import models, packaging, storage
from kftext.errors import KftextError, ModelFormatError, StorageError
from kftext.models import ModelMetadata, write_model
from kftext.packaging import __main__ as command
from kftext.packaging import gzip_writer, unpacking
from kftext.packaging.gzip_writer import BLOCK_SIZE, GzipWriter
from models.making import make_model


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "a model"
    (folder / "variables").mkdir(parents=True)
    write_model(make_model(bucket=5000), folder / "model.bin")
    (folder / "variables" / "ünïcode.txt").write_text("nested")
    (folder / ".hidden").write_text("left out")
    ModelMetadata(kind="text-classifier", files={"model": "model.bin"}).write(folder)
    return folder


NAMES = ("model.bin", "model.json", "variables/ünïcode.txt")


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_tar_unpacks_it_flat(model_dir: Path, tmp_path: Path):
    archive = packaging.pack(model_dir, tmp_path / "model.tar.gz")
    assert archive.files == NAMES
    assert archive.size == (tmp_path / "model.tar.gz").stat().st_size
    (tmp_path / "out").mkdir()
    subprocess.run(["gzip", "--test", archive.uri], check=True)
    subprocess.run(["tar", "-xzf", archive.uri, "-C", tmp_path / "out"], check=True)
    expected = {name: (model_dir / name).read_bytes() for name in NAMES}
    assert content(tmp_path / "out") == expected
    digest = subprocess.run(["sha256sum", archive.uri], capture_output=True, text=True, check=True)
    assert digest.stdout.split()[0] == archive.sha256


def test_round_trip_predicts_the_same(model_dir: Path, tmp_path: Path):
    packaging.pack(model_dir, tmp_path / "model.tar.gz")
    files = packaging.unpack(tmp_path / "model.tar.gz", tmp_path / "out")
    assert files == [tmp_path / "out" / name for name in NAMES]
    texts = ["the movie was good", "bad"]
    assert models.load(tmp_path / "out").predict(texts, k=2) == models.load(model_dir).predict(
        texts, k=2
    )


def test_bytes_depend_on_names_and_content_alone(model_dir: Path, tmp_path: Path, monkeypatch):
    first = packaging.pack(model_dir, tmp_path / "first.tar.gz")
    twin = tmp_path / "twin"
    shutil.copytree(model_dir, twin)
    for path in twin.rglob("*"):
        os.utime(path, (1e9, 1e9))
        path.chmod(0o700)
    monkeypatch.setattr(gzip_writer, "available_cores", lambda: 1)
    second = packaging.pack(twin, tmp_path / "second.tar.gz")
    assert first.sha256 == second.sha256
    (twin / "model.json").write_text("{}")
    with pytest.raises(ModelFormatError):
        packaging.pack(twin, tmp_path / "third.tar.gz")
    assert not (tmp_path / "third.tar.gz").exists()


def test_members_have_no_times_owners_and_permissions_of_their_own(model_dir: Path, tmp_path: Path):
    archive = packaging.pack(model_dir, tmp_path / "model.tar.gz")
    with tarfile.open(archive.uri) as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (
                0,
                0,
                0,
                "",
                "",
            )
            assert member.mode == 0o644


def test_an_archive_in_the_model_folder_is_not_packed_again(model_dir: Path):
    first = packaging.pack(model_dir, model_dir)
    assert first.uri == str(model_dir / "model.tar.gz")
    assert packaging.pack(model_dir, model_dir) == first


@pytest.mark.parametrize("broken", ["missing", "empty", "no model", "truncated", "a file"])
def test_a_folder_that_holds_no_model_is_not_packed(model_dir: Path, tmp_path: Path, broken: str):
    if broken == "missing":
        shutil.rmtree(model_dir)
    elif broken == "empty":
        shutil.rmtree(model_dir)
        model_dir.mkdir()
    elif broken == "no model":
        (model_dir / "model.bin").unlink()
    elif broken == "truncated":
        os.truncate(model_dir / "model.bin", 500)
    else:
        model_dir = model_dir / "model.bin"
    output = tmp_path / "out" / "model.tar.gz"
    with pytest.raises(KftextError, match="a model"):
        packaging.pack(model_dir, output)
    assert not output.exists()
    assert command_exit(["--model-dir", str(model_dir), "--output", str(output)]) == 1


def command_exit(arguments: list[str]) -> int:
    from kftext import cli

    return cli.run(command.main, arguments)


def test_command_line(model_dir: Path, tmp_path: Path, capsys):
    output = tmp_path / "model.tar.gz"
    assert command_exit(["--model_dir", str(model_dir), "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{output}: {output.stat().st_size} bytes, sha256 ")
    assert command_exit(["--model-dir", str(model_dir)]) == 2
    assert "--output" in capsys.readouterr().err


def test_to_and_from_object_storage(model_dir: Path, tmp_path: Path, s3):
    storage.upload(model_dir, s3.uri("models/1"))
    archive = packaging.pack(s3.uri("models/1"), s3.uri("archives/"))
    assert archive.uri == s3.uri("archives/model.tar.gz")
    assert storage.size(archive.uri) == archive.size
    files = packaging.unpack(archive.uri, tmp_path / "out")
    assert [file.relative_to(tmp_path / "out").as_posix() for file in files] == list(NAMES)
    assert archive.sha256 == packaging.pack(model_dir, tmp_path / "same.tar.gz").sha256


@pytest.mark.parametrize(
    "size", [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE + 7]
)
@pytest.mark.parametrize("kind", ["text", "float32", "zeros"])
def test_gzip_writer_round_trip(size: int, kind: str):
    numbers = np.random.default_rng(0).normal(size=size // 4 + 1).astype(np.float32)
    data = {"text": b"some words " * size, "float32": numbers.tobytes(), "zeros": bytes(size)}[
        kind
    ][:size]
    outputs = []
    for threads, step in ((1, 1 << 16), (3, 5 * BLOCK_SIZE)):
        stream = io.BytesIO()
        with GzipWriter(stream, threads) as writer:
            for start in range(0, size, step):
                writer.write(data[start : start + step])
        outputs.append(stream.getvalue())
    assert outputs[0] == outputs[1]
    assert gzip.decompress(outputs[0]) == data
    # One member: a reader that stops after the first sees everything.
    reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert reader.decompress(outputs[0]) == data
    assert reader.eof
    assert reader.unused_data == b""


def test_gzip_writer_passes_errors_on():
    with (
        pytest.raises(StorageError, match="No space left"),
        storage.open_writer("/dev/full") as full,
        GzipWriter(full) as writer,
    ):
        writer.write(os.urandom(4 * BLOCK_SIZE))


def make_archive(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member, data in members:
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


HOSTILE = {
    "absolute": [(member("/OUTSIDE/escaped"), b"x")],
    "dots": [(member("../escaped"), b"x")],
    "dots inside": [(member("a/../../escaped"), b"x")],
    "symbolic link": [(member("model.bin", tarfile.SYMTYPE, "/etc/passwd"), b"")],
    "link to a folder": [
        (member("a", tarfile.SYMTYPE, "/OUTSIDE"), b""),
        (member("a/escaped"), b"x"),
    ],
    "hard link": [(member("model.bin", tarfile.LNKTYPE, "/etc/passwd"), b"")],
    "device": [(member("model.bin", tarfile.CHRTYPE), b"")],
    "pipe": [(member("model.bin", tarfile.FIFOTYPE), b"")],
    "twice": [(member("model.bin"), b"x"), (member("./model.bin"), b"y")],
    "a file and a folder": [(member("a"), b"x"), (member("a/b"), b"y")],
    "a folder and a file": [(member("a/b"), b"x"), (member("a"), b"y")],
    "nothing": [],
    "only hidden": [(member("._model.bin"), b"x")],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused_whole(name: str, tmp_path: Path):
    good = [(member("first.bin"), b"fine")] if name not in ("nothing", "only hidden") else []
    hostile = [(copy.copy(info), data) for info, data in HOSTILE[name]]
    for info, _ in hostile:
        info.name = info.name.replace("/OUTSIDE", str(tmp_path))
        info.linkname = info.linkname.replace("/OUTSIDE", str(tmp_path))
    archive = make_archive(tmp_path / "hostile.tar.gz", [*good, *hostile])
    with pytest.raises(ModelFormatError, match=r"hostile.tar.gz: "):
        packaging.unpack(archive, tmp_path / "deep" / "out")
    assert content(tmp_path).keys() == {"hostile.tar.gz"}


def test_what_macos_and_tar_add_is_passed_over(tmp_path: Path):
    folder = member("./", tarfile.DIRTYPE)
    files = [(folder, b""), (member("./._model.bin"), b"mac"), (member("./model.bin"), b"model")]
    packaging.unpack(make_archive(tmp_path / "a.tar.gz", files), tmp_path / "out")
    assert content(tmp_path / "out") == {"model.bin": b"model"}


@pytest.mark.parametrize("damage", ["cut", "flipped", "no gzip", "no tar", "empty", "inner cut"])
def test_damaged_archives(model_dir: Path, tmp_path: Path, damage: str):
    archive = tmp_path / "model.tar.gz"
    packaging.pack(model_dir, archive)
    data = archive.read_bytes()
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 0x10
    plain = gzip.decompress(data)
    archive.write_bytes(
        {
            "cut": data[: len(data) // 2],
            "flipped": bytes(flipped),
            "no gzip": plain,
            "no tar": gzip.compress(b"just some text" * 1000),
            "empty": b"",
            "inner cut": gzip.compress(plain[:3000]),
        }[damage]
    )
    with pytest.raises(ModelFormatError, match=r"model.tar.gz: "):
        packaging.unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bombs(tmp_path: Path, monkeypatch):
    bomb = make_archive(tmp_path / "bomb.tar.gz", [(member("model.bin"), bytes(20 << 20))])
    with pytest.raises(ModelFormatError, match="hold more than 1048576 bytes"):
        packaging.unpack(bomb, tmp_path / "out", max_bytes=1 << 20)
    monkeypatch.setattr(unpacking, "RATIO_FROM", 1 << 20)
    with pytest.raises(ModelFormatError, match="too much for a model of this archive's size"):
        packaging.unpack(bomb, tmp_path / "out")
    many = make_archive(tmp_path / "many.tar.gz", [(member(f"{n}"), b"") for n in range(50)])
    monkeypatch.setattr(unpacking, "MAX_MEMBERS", 49)
    with pytest.raises(ModelFormatError, match="more than 49 members"):
        packaging.unpack(many, tmp_path / "out")
    behind = tmp_path / "behind.tar.gz"
    good = make_archive(tmp_path / "good.tar.gz", [(member("model.bin"), b"x")])
    behind.write_bytes(good.read_bytes() + gzip.compress(bytes(20 << 20)))
    with pytest.raises(ModelFormatError, match="behind the last file"):
        packaging.unpack(behind, tmp_path / "out", max_bytes=1 << 20)
    assert not (tmp_path / "out").exists()


HEADER_BOMB = """
import resource, sys
from kftext import errors, packaging
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    packaging.unpack(sys.argv[1], sys.argv[2])
except errors.ModelFormatError as error:
    print(error)
"""


def test_a_header_larger_than_memory_is_not_read(tmp_path: Path):
    """A name of 2 GB compresses to 2 MB, and tarfile reads names whole."""
    header = member("@LongLink", tarfile.GNUTYPE_LONGNAME)
    header.size = 2 << 30
    path = tmp_path / "names.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(header.tobuf())
        for _ in range(64):
            stream.write(bytes(1 << 20))
    command = [sys.executable, "-c", HEADER_BOMB, path, tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert "a header of 2147483648 bytes" in done.stdout, done.stderr


def test_unpacking_into_an_existing_folder(model_dir: Path, tmp_path: Path):
    packaging.pack(model_dir, tmp_path / "model.tar.gz")
    (tmp_path / "out").mkdir()
    packaging.unpack(tmp_path / "model.tar.gz", tmp_path / "out")
    assert content(tmp_path / "out").keys() == set(NAMES)
