"""Starting, stopping, reloading: what a person or a cluster does to a server."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time

import httpx
import pytest
from kserve import model_server

from kftext.batch.transform import BatchRequest, transform
from kftext.errors import ResourceError, StorageError, UsageError
from kftext.models import ModelMetadata
from kftext.serving import logs
from kftext.serving.__main__ import main
from kftext.serving.flags import load_models, own_parser, read_options
from kftext.serving.loading import load_model
from kftext.serving.model import ServedModel
from kftext.serving.options import API_KEY_VARIABLE, Options
from kftext.serving.server import Server
from serving.processes import LABELS, Served, write_classifier, write_vectors

GOOD = {"instances": ["good"], "configuration": {"k": 3}}


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kftext.serving", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_missing_folder_is_one_message(tmp_path):
    done = run("--model_name", "m", "--model_dir", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "nowhere: no such file or folder" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [None, b"", b"not a model" * 100])
def test_a_broken_folder_is_one_message(tmp_path, content):
    if content is not None:
        (tmp_path / "model.bin").write_bytes(content)
    done = run("--model_dir", str(tmp_path))
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert str(tmp_path) in line


def test_a_truncated_model_is_one_message(tmp_path):
    path = write_classifier(tmp_path) / "model.bin"
    path.write_bytes(path.read_bytes()[:-10])
    done = run("--model_dir", str(path))
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1


def test_wrong_usage_ends_with_2(models, tmp_path):
    assert run().returncode == 2
    done = run("--model_name", "a", "--model_name", "b", "--model_dir", str(models["sentiment"]))
    assert done.returncode == 2
    assert "one for each" in done.stderr
    done = run("--model_name", "a/b", "--model_dir", str(models["sentiment"]))
    assert done.returncode == 2
    done = run("--model_dir", str(models["sentiment"]), "--max_queue", "0")
    assert done.returncode == 2


def test_models_in_object_storage(s3, models, tmp_path):
    archive = pack(models["sentiment"], tmp_path / "model.tar.gz")
    s3.put("models/model.tar.gz", archive.read_bytes())
    s3.put("models/one/model.bin", (models["sentiment"] / "model.bin").read_bytes())
    expected = load_model(models["sentiment"])
    for key in ("models/model.tar.gz", "models/one", "models/one/", "models/one/model.bin"):
        loaded = load_model(s3.uri(key))
        assert loaded.version == expected.version
        assert loaded.predictor.predict(["good"]) == expected.predictor.predict(["good"])
    with pytest.raises(StorageError, match="nowhere"):
        load_model(s3.uri("nowhere"))


def test_a_packaged_model(models, tmp_path):
    """What packaging leaves: the archive, and the model's description beside it."""
    folder = tmp_path / "packaged"
    folder.mkdir()
    pack(models["sentiment"], folder / "model.tar.gz")
    ModelMetadata(kind="text-classifier", files={"model": "model.bin"}).write(folder)
    assert load_model(folder).version == load_model(models["sentiment"]).version
    (tmp_path / "texts.txt").write_text("good\n")
    results = tmp_path / "results.jsonl"
    transform(BatchRequest(str(folder), str(tmp_path / "texts.txt"), str(results)))
    assert "__label__pos" in results.read_text()


def flags(*words: str) -> argparse.Namespace:
    return model_server.parser.parse_args(words)


def test_flags_of_kserve_that_cannot_be_followed_are_wrong_usage(models, tmp_path):
    model = ServedModel("m", models["sentiment"])
    with pytest.raises(UsageError, match="replicas"):
        Server([model], Options(), flags("--workers", "3"))
    with pytest.raises(UsageError, match="both or neither"):
        Server([model], Options(), flags("--ssl_certfile", "chain.pem"))
    for name in ("--http_port", "--grpc_port"):
        with pytest.raises(UsageError, match=f"{name} 99999: expected"):
            Server([model], Options(), flags(name, "99999"))
    missing = str(tmp_path / "none.pem")
    with pytest.raises(UsageError, match=r"none\.pem"):
        Server([model], Options(), flags("--ssl_certfile", missing, "--ssl_keyfile", missing))


def test_flags_of_kserve_without_an_effect_are_said(server: Served, models, caplog):
    assert "has no effect" not in server.log.read_text()
    model = ServedModel("m", models["sentiment"])
    given = flags("--enable_docs_url", "true", "--max_threads", "9", "--timeout-keep-alive", "7")
    Server([model], Options(), given)
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == [
        "--max_threads has no effect on this server",
        "--enable_docs_url has no effect on this server",
    ]


@pytest.mark.parametrize(
    ("word", "message"),
    [("nan", "more than 0"), ("0", "more than 0"), ("-1", "more than 0"), ("x", "invalid float")],
)
def test_a_limit_that_is_no_limit_is_wrong_usage(capsys, word, message):
    with pytest.raises(SystemExit) as ended:
        own_parser().parse_args(["--deadline_seconds", word])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_the_key_comes_as_files_hold_it(monkeypatch):
    arguments = own_parser().parse_args([])
    monkeypatch.setenv(API_KEY_VARIABLE, "a-key\n")
    assert read_options(arguments).api_key == "a-key"
    for wrong in ("\n", "a\nb", "schlüssel"):
        monkeypatch.setenv(API_KEY_VARIABLE, wrong)
        with pytest.raises(UsageError, match="printable ASCII"):
            read_options(arguments)


def test_what_is_not_watched_for_changes_is_said(s3, models, caplog):
    s3.put("watched/model.bin", (models["sentiment"] / "model.bin").read_bytes())
    local, remote = str(models["sentiment"]), s3.uri("watched/model.bin")
    words = ["--model_name", "a", "--model_dir", local, "--model_name", "b", "--model_dir", remote]
    load_models(own_parser().parse_args([*words, "--reload_seconds", "1"]))
    (warned,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned.startswith("model b: s3://")
    assert "only local files are" in warned


def test_a_port_in_use_is_one_message(server: Served, models):
    model = ServedModel("m", models["sentiment"])
    taken = flags("--http_port", str(server.port), "--enable_grpc", "false")
    with pytest.raises(ResourceError, match=f"127.0.0.1:{server.port}"):
        Server([model], Options(host="127.0.0.1"), taken).start()


def test_only_the_given_address_is_listened_on(server: Served):
    for port in (server.port, server.grpc_port):
        socket.create_connection(("127.0.0.1", port), 5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), 5)


@pytest.fixture(scope="module")
def archived(serve, tmp_path_factory):
    """A server of an archive, which looks for changes, drains for two seconds, and may be spoilt by tests."""
    folder = tmp_path_factory.mktemp("archive")
    archive = pack(write_classifier(folder / "one"), folder / "model.tar.gz")
    vectors = write_vectors(folder / "vectors", subwords=True)
    link = folder / "linked"
    link.symlink_to(folder / "one")
    served = serve(
        *("--model_name", "packed", "--model_dir", str(archive)),
        *("--model_name", "folder", "--model_dir", str(vectors)),
        *("--model_name", "linked", "--model_dir", str(link)),
        *("--reload_seconds", "0.1", "--drain_seconds", "4", "--log_texts"),
    )
    return served, archive, vectors


def pack(folder, archive):
    """Write an archive beside the place and move it there, as a careful person does."""
    temporary = archive.with_suffix(".new")
    with tarfile.open(temporary, "w:gz") as tar:
        for file in folder.iterdir():
            tar.add(file, file.name)
    return temporary.rename(archive)


def probability(served: Served) -> float:
    (prediction,) = served.predict("packed", GOOD).json()["predictions"]
    assert set(prediction["label"]) == set(LABELS)
    return prediction["prob"][0]


def wait_for(condition, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def test_a_changed_archive_is_reloaded_without_a_wrong_answer(archived, tmp_path):
    served, archive, _ = archived
    first = probability(served)
    version = served.client.get("/v2/models/packed").json()["versions"]
    second_model = write_classifier(tmp_path / "two", weight=6.0)
    seen, stop = set(), threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=served.url, timeout=120) as client:
            while not stop.is_set():
                answer = client.post("/v1/models/packed:predict", json=GOOD)
                assert answer.status_code == 200
                seen.add(round(answer.json()["predictions"][0]["prob"][0], 6))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        wait_for(lambda: seen)
        pack(second_model, archive)
        wait_for(lambda: probability(served) > first + 0.1)
    finally:
        stop.set()
        asking.join()
    assert seen == {round(first, 6), round(probability(served), 6)}
    assert served.client.get("/v2/models/packed").json()["versions"] != version
    # The model answers a moment before it is counted.
    loads = 'kftext_model_reloads_total{model="packed",result="loaded"}'
    wait_for(lambda: served.metric(loads) == 1)


def test_a_bad_archive_leaves_the_old_model(archived):
    served, archive, _ = archived
    before = probability(served)
    version = served.client.get("/v2/models/packed").json()["versions"]
    failed = 'kftext_model_reloads_total{model="packed",result="failed"}'
    count = served.metric(failed)
    archive.write_bytes(b"no archive")
    wait_for(lambda: served.metric(failed) > count)
    archive.unlink()
    wait_for(lambda: served.metric(failed) > count + 1)
    assert probability(served) == before
    assert served.client.get("/v2/models/packed").json()["versions"] == version
    log = served.log.read_text()
    assert "kept version" in log
    assert "Traceback" not in log


def test_a_model_overwritten_in_place_does_no_harm(archived, tmp_path):
    """`cp` truncates the file that is served: without a copy of it the process would end with a bus error."""
    served, _, vectors = archived
    file = vectors / "vectors.bin"
    with file.open("r+b") as stream:
        stream.truncate(10)
    ask = {"instances": ["kingly"], "configuration": {"output": "nearest_neighbors"}}
    wait_for(
        lambda: served.metric('kftext_model_reloads_total{model="folder",result="failed"}') > 0
    )
    assert served.predict("folder", ask).status_code == 200
    other = write_vectors(tmp_path / "other", subwords=False)
    shutil.copy(other / "vectors.bin", file)
    zeros = [0.0] * 4
    wait_for(
        lambda: (
            served.predict("folder", {"instances": ["kingly"]}).json()["predictions"][0]["vector"]
            == zeros
        )
    )


def test_a_folder_out_of_reach_does_not_end_the_watching(archived, tmp_path):
    served, archive, _ = archived
    link = archive.parent / "linked"
    failed = 'kftext_model_reloads_total{model="linked",result="failed"}'
    loaded = 'kftext_model_reloads_total{model="linked",result="loaded"}'
    # An error other than that there is nothing, as a stale network mount gives one.
    link.unlink()
    link.symlink_to("x" * 300)
    wait_for(lambda: served.metric(failed) == 1)
    assert served.predict("linked", GOOD).status_code == 200
    write_classifier(tmp_path / "next", weight=5.0)
    link.unlink()
    link.symlink_to(tmp_path / "next")
    wait_for(lambda: served.metric(loaded) == 1)


def test_the_log_holds_texts_when_asked(archived):
    served, _, _ = archived
    served.predict("packed", {"instances": ["wanted in the log", "ü"]})
    assert '"texts":["wanted in the log","ü"]' in served.log.read_text()


async def post_much(served: Served) -> list[int]:
    """Statuses of answers to bodies over the limit, by a client that loses an answer when its connection is reset."""
    async with httpx.AsyncClient(base_url=served.url, timeout=120) as client:
        path, body = "/v1/models/packed:predict", b" " * (9 << 20)
        return [(await client.post(path, content=body)).status_code for _ in range(5)]


def test_a_request_on_its_way_when_the_port_closes_is_answered(serve, models):
    served = serve("--model_dir", str(models["sentiment"]), "--drain_seconds", "0.2")
    with socket.create_connection(("127.0.0.1", served.port), 10) as connection:
        served.process.send_signal(signal.SIGTERM)
        wait_for(lambda: refused(served.port))
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    assert served.process.wait(120) == 0


def test_both_ports_close_while_a_request_is_finished(serve, models):
    served = serve("--model_dir", str(models["sentiment"]), "--drain_seconds", "0.2")
    body = b'{"instances": ["good"]}'
    head = b"POST /v1/models/model:predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", served.port), 60) as connection:
        connection.sendall(head % len(body) + body[:5])
        wait_for(lambda: served.client.get("/ping").status_code == 200)
        served.process.send_signal(signal.SIGTERM)
        wait_for(lambda: refused(served.port) and refused(served.grpc_port), 25)
        connection.sendall(body[5:])
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    assert served.process.wait(120) == 0


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_sigterm_drains(archived):
    """Not ready at once, answers for four seconds more, finishes what is in flight, ends with 0."""
    served, _, _ = archived
    assert served.client.get("/ping").status_code == 200
    body = b'{"instances": ["good"]}'

    def slowly():
        yield body[:10]
        time.sleep(5)
        yield body[10:]

    late: list[httpx.Response] = []

    def send() -> None:
        with httpx.Client(base_url=served.url, timeout=120) as client:
            late.append(client.post("/v1/models/packed:predict", content=slowly()))

    sending = threading.Thread(target=send)
    sending.start()
    time.sleep(0.3)
    served.process.send_signal(signal.SIGTERM)
    wait_for(lambda: served.client.get("/ping").status_code == 503, 3.9)
    assert served.client.get("/v2/health/ready").status_code == 503
    assert served.client.get("/v1/models/packed").status_code == 503
    assert served.client.get("/v2/health/live").status_code == 200
    answer = served.predict("packed", GOOD)
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"
    # Refused before it was received whole, on a connection that is closed behind the answer: the answer arrives all the same.
    assert asyncio.run(post_much(served)) == [413] * 5
    sending.join()
    assert late[0].status_code == 200
    assert served.process.wait(120) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(served.url + "/ping")
    assert "Traceback" not in served.log.read_text()


def test_help_names_kserves_flags_too(capsys, monkeypatch):
    monkeypatch.setattr(logs, "configure", lambda: None)
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for flag in ("--model_dir", "--max_body_bytes", "--http_port", "--ssl_certfile"):
        assert flag in shown
