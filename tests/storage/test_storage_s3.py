"""Objects in a bucket, against real servers: what is written is complete or absent, what is read is whole or an error."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fixtures_s3 import Bucket, CuttingProxy, free_port, point_at
from kftext import storage
from kftext.errors import StorageError
from kftext.storage import s3 as s3_module
from kftext.storage import s3_client

MEGABYTE = 1 << 20


def blocks(count: int, seed: int = 0):
    """Yield `count` megabytes that look random and cost nothing to make again."""
    for index in range(count):
        yield hashlib.shake_128(f"{seed}-{index}".encode()).digest(MEGABYTE)


@pytest.fixture
def impatient(monkeypatch):
    """Give up on a server that is gone after one second, not forty."""
    monkeypatch.setattr(s3_module, "RETRIES", 1)
    monkeypatch.setattr(s3_client, "RETRIES", 1)
    s3_client._client.cache_clear()
    yield
    s3_client._client.cache_clear()


def test_round_trip_of_names_and_bytes(every_s3: Bucket):
    for key in ("plain", "a folder/with spaces/ünï-漢字.txt", "100%25+&=?#.txt"):
        content = key.encode() * 1000
        with storage.open_writer(every_s3.uri(key)) as writer:
            writer.write(content[:7])
            writer.write(content[7:])
        assert every_s3.get(key) == content
        assert storage.exists(every_s3.uri(key))
        assert storage.size(every_s3.uri(key)) == len(content)
        assert storage.list_files(every_s3.uri(key)) == [every_s3.uri(key)]
        with storage.open_reader(every_s3.uri(key)) as reader:
            assert reader.read() == content
        with storage.open_reader(every_s3.uri(key), offset=len(content) - 3) as reader:
            assert reader.read() == content[-3:]
        for offset in (len(content), len(content) + 5):
            with storage.open_reader(every_s3.uri(key), offset=offset) as reader:
                assert reader.read() == b""


def test_empty_object(every_s3: Bucket):
    with storage.open_writer(every_s3.uri("empty")):
        pass
    assert every_s3.get("empty") == b""
    with storage.open_reader(every_s3.uri("empty")) as reader:
        assert reader.read() == b""
    assert storage.size(every_s3.uri("empty")) == 0


def test_minio_scheme_is_a_synonym(every_s3: Bucket):
    with storage.open_writer(every_s3.uri("data/one", scheme="minio")) as writer:
        writer.write(b"1")
    assert every_s3.get("data/one") == b"1"
    assert storage.is_remote("minio://bucket/key")
    listed = storage.list_files(every_s3.uri("data", scheme="minio"))
    assert listed == [every_s3.uri("data/one", scheme="minio")]


def test_listing_a_prefix(every_s3: Bucket):
    for key in (
        "data/b.txt",
        "data/a/deep/c.txt",
        "data/.hidden",
        "data/.git/d",
        "database/e",
        "data/folder/",
    ):
        every_s3.put(key, b"x" * len(key))
    files = [every_s3.uri("data/a/deep/c.txt"), every_s3.uri("data/b.txt")]
    assert storage.list_files(every_s3.uri("data")) == files
    assert storage.list_files(every_s3.uri("data/")) == files
    assert storage.size(every_s3.uri("data")) == len("data/b.txt") + len("data/a/deep/c.txt")
    assert storage.exists(every_s3.uri("data"))
    assert not storage.exists(every_s3.uri("dat"))
    assert len(storage.list_files(every_s3.uri())) == 3
    with pytest.raises(StorageError, match=r"no such object or prefix: s3://.*/nothing"):
        storage.list_files(every_s3.uri("nothing"))


def test_gzip_and_text_layers_work_on_the_streams(every_s3: Bucket):
    with storage.open_writer(every_s3.uri("lines.gz")) as raw, gzip.open(raw, "wb") as packed:
        packed.write(b"one\ntwo\n")
    with storage.open_reader(every_s3.uri("lines.gz")) as raw:
        assert raw.peek(2)[:2] == b"\x1f\x8b"
        assert gzip.GzipFile(fileobj=raw).readlines() == [b"one\n", b"two\n"]
    with storage.open_writer(every_s3.uri("text")) as raw, io.TextIOWrapper(raw) as text:
        text.write("closes the writer below it")
    assert every_s3.get("text") == b"closes the writer below it"


def test_content_encoding_is_left_alone(every_s3: Bucket):
    packed = gzip.compress(b"hello")
    every_s3.put("encoded", packed, ContentEncoding="gzip")
    with storage.open_reader(every_s3.uri("encoded")) as reader:
        assert reader.read() == packed


def test_folders_go_up_and_come_down(every_s3: Bucket, tmp_path):
    source = tmp_path / "model folder"
    (source / "variables").mkdir(parents=True)
    model = b"".join(blocks(3))
    (source / "model.bin").write_bytes(model)
    (source / "variables" / "data-00000").write_bytes(b"v" * 100)
    (source / "model.json").write_text("{}")
    assert storage.upload(source, every_s3.uri("models/1")) == every_s3.uri("models/1")
    assert every_s3.keys() == [
        "models/1/model.bin",
        "models/1/model.json",
        "models/1/variables/data-00000",
    ]

    copy = storage.download(every_s3.uri("models/1/"), tmp_path / "copy")
    assert {p.relative_to(copy) for p in copy.rglob("*")} == {
        p.relative_to(source) for p in source.rglob("*")
    }
    assert (copy / "model.bin").read_bytes() == model
    assert (copy / "variables" / "data-00000").read_bytes() == b"v" * 100

    assert storage.upload(source / "model.bin", every_s3.uri("files/")) == every_s3.uri(
        "files/model.bin"
    )
    assert storage.download(every_s3.uri("files/model.bin"), tmp_path) == tmp_path / "model.bin"
    assert (
        storage.download(every_s3.uri("files/model.bin"), tmp_path / "new" / "name").read_bytes()
        == model
    )


@pytest.mark.parametrize("every_s3", ["minio"], indirect=True)  # moto takes keys of any length
def test_the_description_goes_last(every_s3: Bucket, tmp_path):
    """A folder whose upload fails half-way has no model.json: nobody takes it for a model."""
    deep = tmp_path.joinpath(*["d" * 200] * 6)
    deep.mkdir(parents=True)
    (deep / "a key of more than 1024 bytes, which no store takes").write_text("x")
    (tmp_path / "model.json").write_text("{}")
    (tmp_path / "vectors.txt").write_text("v")
    with pytest.raises(StorageError, match="KeyTooLong"):
        storage.upload(tmp_path, every_s3.uri("m"))
    assert not storage.exists(every_s3.uri("m/model.json"))


def test_local_copy_is_removed_after(every_s3: Bucket, tmp_path):
    every_s3.put("in/vectors.bin", b"abc")
    with storage.local_copy(every_s3.uri("in/vectors.bin"), tmp_path) as copy:
        assert copy.name == "vectors.bin"
        assert copy.read_bytes() == b"abc"
    with storage.local_copy(every_s3.uri("in"), tmp_path) as folder:
        assert (folder / "vectors.bin").read_bytes() == b"abc"
    assert list(tmp_path.iterdir()) == []


def test_atomic_directory(every_s3: Bucket):
    with storage.atomic_directory(every_s3.uri("out")) as folder:
        (folder / "model.json").write_text("{}")
        assert every_s3.keys() == []
    assert every_s3.keys() == ["out/model.json"]
    assert not folder.exists()
    with pytest.raises(RuntimeError), storage.atomic_directory(every_s3.uri("failed")) as folder:
        (folder / "model.json").write_text("{}")
        raise RuntimeError
    assert not folder.exists()
    assert every_s3.keys() == ["out/model.json"]


def test_a_missing_bucket_is_found_before_the_work(every_s3: Bucket):
    with pytest.raises(StorageError, match="no such bucket: kftext-no-such-bucket"):
        storage.atomic_directory("s3://kftext-no-such-bucket/model").__enter__()
    with pytest.raises(StorageError, match="no such bucket: kftext-no-such-bucket"):
        storage.open_writer("s3://kftext-no-such-bucket/model").__enter__()


def test_work_is_kept_where_its_upload_fails(own_s3: Bucket, impatient):
    with (
        pytest.raises(StorageError, match="is kept in") as caught,
        storage.atomic_directory(own_s3.uri("out")) as folder,
    ):
        (folder / "model.json").write_text("hours of work")
        own_s3.server.kill()
    assert str(folder) in str(caught.value)
    assert (folder / "model.json").read_text() == "hours of work"
    shutil.rmtree(folder)


# MinIO refuses to store such keys; S3 and moto take them.
@pytest.mark.parametrize("every_s3", ["moto"], indirect=True)
@pytest.mark.parametrize("key", ["data/../../escaped", "data//escaped", "data/a/./escaped"])
def test_a_key_that_leads_out_of_the_folder_is_refused(every_s3: Bucket, tmp_path, key):
    every_s3.put(key, b"evil")
    assert every_s3.keys() == [key]
    with pytest.raises(StorageError, match="can't name a file below a folder"):
        storage.download(every_s3.uri("data"), tmp_path / "in" / "deep")
    assert list(tmp_path.rglob("*")) == []


def test_write_fails_as_a_whole(every_s3: Bucket):
    every_s3.put("object-kept", b"before")
    for name, size in (("object-small", 1), ("object-large", 40), ("object-kept", 40)):
        with (
            pytest.raises(RuntimeError, match="mine"),
            storage.open_writer(every_s3.uri(name)) as writer,
        ):
            for block in blocks(size):
                writer.write(block)
            raise RuntimeError("mine")
    assert every_s3.keys() == ["object-kept"]
    assert every_s3.get("object-kept") == b"before"
    assert [every_s3.unfinished_uploads(name) for name in ("object-small", "object-large")] == [
        0,
        0,
    ]


MISTAKES = {
    "secret": "wrong secret: AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID",
    "access_key": "check AWS_ACCESS_KEY_ID",
    "powerless": "access denied",
    "bucket": "no such bucket: kftext-no-such-bucket",
}


def write(uri: str) -> None:
    with storage.open_writer(uri) as writer:
        writer.write(b"x")


ACTIONS = {"read": storage.open_reader, "list": storage.list_files, "write": write}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_named(every_s3: Bucket, monkeypatch, mistake, action):
    uri = every_s3.uri("there")
    every_s3.put("there", b"x")
    secrets = [every_s3.server.secret_key, every_s3.server.powerless[1], "wrong-secret-value"]
    if mistake == "secret":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-value")
    elif mistake == "access_key":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "NOSUCHACCESSKEY")
    elif mistake == "powerless":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", every_s3.server.powerless[0])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", every_s3.server.powerless[1])
    else:
        uri = "s3://kftext-no-such-bucket/there"
    with pytest.raises(StorageError, match=MISTAKES[mistake]) as caught:
        ACTIONS[action](uri)
    assert not any(secret in str(caught.value) for secret in secrets)
    assert "there" in str(caught.value)


def test_a_missing_object_is_named(every_s3: Bucket, tmp_path):
    for read in (storage.open_reader, lambda uri: storage.download(uri, tmp_path / "x")):
        with pytest.raises(StorageError, match=f"no such object.*s3://{every_s3.name}/not-there"):
            read(every_s3.uri("not-there"))
    assert list(tmp_path.iterdir()) == []


def test_unreachable_endpoint_names_it_and_its_variable(monkeypatch, impatient):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint := f"http://127.0.0.1:{free_port()}")
    with pytest.raises(
        StorageError, match=f"can't reach {endpoint} .from AWS_ENDPOINT_URL_S3.*refused"
    ):
        storage.open_reader("s3://bucket/key")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3")
    with pytest.raises(StorageError, match=r"http://127.0.0.1:1 .from AWS_ENDPOINT_URL"):
        storage.list_files("s3://bucket/key")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://no-such-host.invalid:9000")
    with pytest.raises(StorageError, match=r"can't reach http://no-such-host.invalid:9000"):
        storage.list_files("s3://bucket/key")
    for wrong in ("minio:9000", "ftp://minio", "http://minio:9000/path"):
        monkeypatch.setenv("AWS_ENDPOINT_URL", wrong)
        with pytest.raises(StorageError, match=r"AWS_ENDPOINT_URL=.*expected http://host:port"):
            storage.list_files("s3://bucket/key")


class WebPage(BaseHTTPRequestHandler):
    """Answers everything with a page, as MinIO's console does, or with an error page."""

    status = 200

    def answer(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(self.status)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", "13")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"<html><br>hi!")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *_arguments):
        pass


@pytest.mark.parametrize("status", [200, 404, 405])
@pytest.mark.parametrize("action", ["read", "list", "write"])
def test_an_endpoint_that_is_no_s3_server(monkeypatch, status, action):
    monkeypatch.setattr(WebPage, "status", status)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with ThreadingHTTPServer(("127.0.0.1", 0), WebPage) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        try:
            with pytest.raises(StorageError, match=r"127.0.0.1.*is it an S3 endpoint"):
                ACTIONS[action]("s3://bucket/key")
        finally:
            server.shutdown()


@pytest.mark.parametrize("endpoint", ["http://minio:secret@host:9000", "secret@host:9000"])
def test_a_password_in_the_endpoint_is_not_printed(monkeypatch, endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL") as caught:
        storage.list_files("s3://bucket/key")
    assert "secret" not in str(caught.value)


def test_no_credentials(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StorageError, match="no S3 credentials: set AWS_ACCESS_KEY_ID and"):
        storage.open_reader("s3://bucket/key")


def test_credentials_from_the_shared_file(every_s3: Bucket, monkeypatch, tmp_path):
    server = every_s3.server
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".aws").mkdir()
    profile = f"[work]\naws_access_key_id = {server.access_key}\naws_secret_access_key = {server.secret_key}\n"
    (tmp_path / ".aws" / "credentials").write_text(profile)
    monkeypatch.setenv("AWS_PROFILE", "work")
    write(every_s3.uri("by-profile"))
    assert every_s3.keys() == ["by-profile"]


def test_credentials_from_a_container_role(s3: Bucket, monkeypatch, tmp_path):
    """The role of a pod: an HTTP endpoint on loopback that hands out keys for a while."""
    server = s3.server

    class Role(BaseHTTPRequestHandler):
        def do_GET(self):
            body = {
                "AccessKeyId": server.access_key,
                "SecretAccessKey": server.secret_key,
                "Token": "",
                "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600)),
            }
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_args):
            pass

    role = ThreadingHTTPServer(("127.0.0.1", 0), Role)
    threading.Thread(target=role.serve_forever, daemon=True).start()
    try:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{role.server_port}/role"
        )
        s3_client._client.cache_clear()
        write(s3.uri("by-role"))
    finally:
        role.shutdown()
        role.server_close()
        s3_client._client.cache_clear()
    assert s3.keys() == ["by-role"]


def test_a_broken_download_is_resumed(every_s3: Bucket, monkeypatch):
    content = b"".join(blocks(12))
    every_s3.put("object", content)
    # Connections end in the headers, in the body, and in the body of the request that goes on.
    proxy = CuttingProxy(every_s3.server.port, [10, 5 * MEGABYTE, 3 * MEGABYTE, 100_000], "down")
    point_at(every_s3.server, monkeypatch, proxy.endpoint)
    with storage.open_reader(every_s3.uri("object")) as reader:
        assert reader.read(6 * MEGABYTE) == content[: 6 * MEGABYTE]
        assert reader.tell() == 6 * MEGABYTE
        assert reader.read() == content[6 * MEGABYTE :]
    assert proxy.connections == 5
    proxy.close()


def test_a_changed_object_is_an_error_and_not_a_mixture(every_s3: Bucket, monkeypatch):
    every_s3.put("object", b"".join(blocks(8, seed=1)))
    proxy = CuttingProxy(every_s3.server.port, [2 * MEGABYTE], "down")
    point_at(every_s3.server, monkeypatch, proxy.endpoint)
    with storage.open_reader(every_s3.uri("object")) as reader:
        reader.read(100)
        every_s3.put("object", b"".join(blocks(8, seed=2)))
        with pytest.raises(StorageError, match="was changed while it was read"):
            reader.read()
    proxy.close()


def test_a_broken_upload_is_sent_again(every_s3: Bucket, monkeypatch, tmp_path):
    proxy = CuttingProxy(every_s3.server.port, [100, 5 * MEGABYTE, None, 3 * MEGABYTE], "up")
    point_at(every_s3.server, monkeypatch, proxy.endpoint)
    digest = hashlib.sha256()
    with storage.open_writer(every_s3.uri("object")) as writer:
        for block in blocks(40):
            digest.update(block)
            writer.write(block)
    assert proxy.connections >= 3
    assert hashlib.sha256(every_s3.get("object")).digest() == digest.digest()
    proxy.close()


def test_starting_a_large_upload_is_tried_again(every_s3: Bucket, monkeypatch, tmp_path):
    """Its first request is a POST, which HTTP clients don't repeat unless told."""
    (tmp_path / "file").write_bytes(b"".join(blocks(6)))
    proxy = CuttingProxy(every_s3.server.port, [10], "down")
    point_at(every_s3.server, monkeypatch, proxy.endpoint)
    storage.upload(tmp_path / "file", every_s3.uri("object"))
    assert every_s3.get("object") == (tmp_path / "file").read_bytes()
    proxy.close()


def test_wrong_bytes_fail_the_checksum(every_s3: Bucket):
    """The checksum is that of the object, the bytes are not: as after a flipped bit that TCP did not see."""
    content = b"".join(blocks(2))
    every_s3.put("object", content)
    verify = s3_module._verifier(
        s3_module.S3Path("s3", every_s3.name, "object"),
        len(content),
        every_s3.client.head_object(Bucket=every_s3.name, Key="object")["ResponseMetadata"][
            "HTTPHeaders"
        ],
    )
    verify(content[:-1])
    with pytest.raises(StorageError, match="differ from the object's checksum"):
        verify(bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256", "SHA1"])
def test_s3_checksums_are_used_where_the_store_has_them(every_s3: Bucket, algorithm):
    content = b"checksummed" * 1000
    every_s3.put("object", content, ChecksumAlgorithm=algorithm)
    with storage.open_reader(every_s3.uri("object")) as reader:
        assert reader.read() == content


def test_server_killed_in_the_middle(own_s3: Bucket, impatient, tmp_path):
    content = b"".join(blocks(30))
    own_s3.put("object-there", content)
    with storage.open_reader(own_s3.uri("object-there")) as reader:
        reader.read(MEGABYTE)
        own_s3.server.kill()
        with pytest.raises(StorageError, match="can't reach"):
            reader.read()
    with pytest.raises(StorageError, match="can't reach"):
        storage.download(own_s3.uri("object-there"), tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_server_killed_in_the_middle_of_a_write(own_s3: Bucket, impatient):
    with (
        pytest.raises(StorageError, match="can't reach"),
        storage.open_writer(own_s3.uri("object")) as writer,
    ):
        for number, block in enumerate(blocks(60)):
            if number == 25:
                own_s3.server.kill()
            writer.write(block)
    if own_s3.server.kind == "minio":  # moto keeps nothing
        own_s3.server.start()
        assert own_s3.keys() == []


@pytest.mark.parametrize("own_s3", ["minio"], indirect=True)  # moto keeps nothing
def test_a_server_that_comes_back_is_read_on(own_s3: Bucket):
    content = b"".join(blocks(30))
    own_s3.put("object", content)
    with storage.open_reader(own_s3.uri("object")) as reader:
        start = reader.read(MEGABYTE)
        own_s3.server.kill()
        own_s3.server.start()
        assert start + reader.read() == content


STREAM = """
import hashlib, re, sys
from pathlib import Path
from kftext import storage

uri, megabytes = sys.argv[1], int(sys.argv[2])
with storage.open_writer(uri + ".warm-up") as writer:
    writer.write(b"imports and pools are loaded before memory is counted")
def peak():
    # Not ru_maxrss, which starts at what the parent held when it forked.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
before = peak()
block, sent, read = b"0123456789abcdef" * 65536, hashlib.md5(), hashlib.md5()
with storage.open_writer(uri) as writer:
    for number in range(megabytes):
        piece = number.to_bytes(8, "big") + block[8:]
        sent.update(piece)
        writer.write(piece)
with storage.open_reader(uri) as reader:
    while piece := reader.read(1 << 20):
        read.update(piece)
assert sent.digest() == read.digest()
print(peak() - before)
"""


def test_a_large_object_streams_in_bounded_memory(s3: Bucket):
    """200 MB up and down again, while the process grows by a few parts of 8 MiB."""
    command = [sys.executable, "-c", STREAM, s3.uri("object"), "200"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100 * MEGABYTE
    assert s3.client.head_object(Bucket=s3.name, Key="object")["ContentLength"] == 200 * MEGABYTE
