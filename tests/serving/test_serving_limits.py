"""Limits on bodies, batches, time and concurrency; keys; TLS; what the logs and metrics say."""

from __future__ import annotations

import concurrent.futures
import datetime
import gzip
import json
import signal
import socket
import statistics
import time
from pathlib import Path

import grpc
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from serving.processes import Served

KEY = "s3cret-key"


def memory(served: Served) -> int:
    """Resident bytes of the server process."""
    return int(Path(f"/proc/{served.process.pid}/statm").read_text().split()[1]) * 4096


def test_a_long_body_is_413(server: Served):
    text = "good " * 40_001
    answer = server.predict("sentiment", {"instances": [text]})
    assert answer.status_code == 413
    assert "200000 bytes (--max_body_bytes)" in answer.json()["error"]
    # Without a Content-Length, too.
    chunks = (b" " * 50_000 for _ in range(5))
    answer = server.client.post("/v1/models/sentiment:predict", content=chunks)
    assert answer.status_code == 413
    answer = server.client.post("/v2/repository/models/sentiment/load", content=b" " * 200_001)
    assert answer.status_code == 413


def test_a_compressed_body(server: Served):
    def post(content: bytes) -> httpx.Response:
        headers = {"content-encoding": "gzip", "content-type": "application/json"}
        return server.client.post("/v1/models/sentiment:predict", content=content, headers=headers)

    body = json.dumps({"instances": ["good movie"] * 900}).encode()
    answer = post(gzip.compress(body))
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["predictions"]) == 900
    for content, message in (
        (b"{}", "not gzip"),
        (gzip.compress(body)[:-9], "cut off"),
        (gzip.compress(body) + b"more", "something follows"),
        (b"", "cut off"),
        (gzip.compress(b""), "the body is empty"),
    ):
        answer = post(content)
        assert answer.status_code == 400
        assert message in answer.json()["error"]


def test_a_bomb_is_413_and_takes_no_memory(server: Served):
    before = memory(server)
    bomb = gzip.compress(bytes(1 << 27))
    headers = {"content-encoding": "gzip"}
    for _ in range(3):
        answer = server.client.post("/invocations", content=bomb, headers=headers)
        assert answer.status_code == 413
        assert "--max_body_bytes" in answer.json()["error"]
    assert memory(server) < before + (20 << 20)


def test_a_long_instance_is_413(server: Served):
    answer = server.predict("sentiment", {"instances": ["good", "x" * 180_001]})
    assert answer.status_code == 413
    assert "instance 1: 180001 characters" in answer.json()["error"]


def test_a_long_batch_is_413(server: Served):
    texts = ["good"] * 1001
    assert server.predict("sentiment", {"instances": texts[1:]}).status_code == 200
    answer = server.predict("sentiment", {"instances": texts})
    assert answer.status_code == 413
    assert "1001 instances; one request may hold 1000" in answer.json()["error"]
    lines = b'{"source": "good"}\n' * 1001
    for content_type, body in {
        "application/jsonlines": lines,
        "text/plain": b"good\n" * 1001,
        "text/csv": b"good\n" * 1001,
    }.items():
        answer = server.client.post(
            "/invocations", content=body, headers={"content-type": content_type}
        )
        assert answer.status_code == 413, content_type
    tensor = {"name": "text", "shape": [1001], "datatype": "BYTES", "data": texts}
    answer = server.client.post("/v2/models/sentiment/infer", json={"inputs": [tensor]})
    assert answer.status_code == 413


def test_many_long_bodies_leave_memory_flat(server: Served):
    body = json.dumps({"instances": ["x" * 180_000]}).encode()
    too_long = b" " * 1_000_000

    def send(index: int) -> int:
        with httpx.Client(base_url=server.url, timeout=120) as client:
            content = body if index % 2 else too_long
            return client.post("/v1/models/sentiment:predict", content=content).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(16))) == {200, 413}
        before = memory(server)
        assert set(pool.map(send, range(32))) == {200, 413}
    assert memory(server) - before < 20 << 20


def test_many_connections_get_their_own_answers(server: Served):
    words = ["good", "bad", "fine"]
    labels = ["__label__pos", "__label__neg", "__label__mixed"]

    def ask(start: int) -> None:
        with httpx.Client(base_url=server.url, timeout=120) as client:
            for index in range(start, start + 30):
                count = 1 + 40 * (index % 3)
                answer = client.post(
                    "/v1/models/sentiment:predict",
                    json={"instances": [words[(index + i) % 3] for i in range(count)]},
                    headers={"x-request-id": f"request-{index}"},
                )
                assert answer.headers["x-request-id"] == f"request-{index}"
                found = [one["label"][0] for one in answer.json()["predictions"]]
                assert found == [labels[(index + i) % 3] for i in range(count)]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(ask, start) for start in range(16)]:
            done.result()


def test_pipelined_requests_are_answered_in_order(server: Served):
    def request(word: str) -> bytes:
        body = json.dumps({"instances": [word]}).encode()
        head = f"POST /v1/models/vectors:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
        return head.encode() + b"\r\n\r\n" + body

    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(b"".join(request(word) for word in ("king", "queen", "pear")))
        received = b""
        while received.count(b'"word"') < 3:
            received += connection.recv(65536)
    positions = [received.index(f'"{word}"'.encode()) for word in ("king", "queen", "pear")]
    assert positions == sorted(positions)


def test_a_broken_request_line_does_no_harm(server: Served):
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01",
        b"POST / HTTP/9\r\n\r\n",
        b"GET /%ff%fe HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
            connection.sendall(garbage)
            connection.settimeout(5)
            assert b"HTTP/1.1 500" not in connection.recv(65536)
    assert server.client.get("/ping").status_code == 200


def test_a_client_that_leaves_does_no_harm(server: Served):
    head = b"POST /v1/models/sentiment:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
            connection.sendall(head + b'{"instances"')
    assert server.predict("sentiment", {"instances": ["good"]}).status_code == 200


def test_access_log_and_metrics_say_what_happened(server: Served):
    secret = "xyzzy-never-logged"
    labels = 'model="sentiment",protocol="v1",status="400"'
    before = server.metric(f"kftext_requests_total{{{labels}}}")
    server.predict("sentiment", {"instances": [secret, "two"]}, headers={"x-request-id": "logged"})
    server.predict("sentiment", {"instances": [secret, 2]})
    server.client.get(f"/v1/models?text={secret}")
    assert server.metric(f"kftext_requests_total{{{labels}}}") == before + 1
    assert server.metric('kftext_request_seconds_count{model="sentiment",protocol="v1"}') > 0
    version = server.client.get("/v2/models/sentiment").json()["versions"][0]
    info = f'kftext_model_info{{kind="text-classifier",model="sentiment",version="{version}"}}'
    assert server.metric(info) == 1
    assert server.metric("kftext_queue_length") == 0
    log = server.log.read_text()
    assert secret not in log
    assert "Traceback" not in log
    entries = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    (entry,) = [one for one in entries if one["request_id"] == "logged"]
    assert entry.pop("ms") > 0
    assert entry.pop("time") > 1e9
    assert entry.pop("bytes_out") > 50
    assert entry == {
        "request_id": "logged",
        "method": "POST",
        "path": "/v1/models/sentiment:predict",
        "protocol": "v1",
        "model": "sentiment",
        "status": 200,
        "instances": 2,
        "bytes_in": len(json.dumps({"instances": [secret, "two"]}, separators=(",", ":"))),
    }


def certificate(folder) -> tuple[str, str]:
    """A self-signed certificate for 127.0.0.1 and localhost; paths of key and chain."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    (folder / "chain.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    return str(folder / "key.pem"), str(folder / "chain.pem")


@pytest.fixture(scope="module")
def guarded(serve, models, tmp_path_factory):
    """A server with a key, TLS and small limits, and one model, which needs no name."""
    key, chain = certificate(tmp_path_factory.mktemp("tls"))
    return serve(
        *("--model_dir", str(models["sentiment"])),
        *("--ssl_certfile", chain, "--ssl_keyfile", key),
        *("--max_queue", "2", "--max_concurrency", "8", "--deadline_seconds", "1.5"),
        "--no_access_log",
        environment={"KFTEXT_API_KEY": KEY},
    )


AUTHORIZED = {"authorization": f"Bearer {KEY}"}


def test_the_key_is_needed(guarded: Served):
    body = {"instances": ["good"]}
    for headers in ({}, {"authorization": "Bearer wrong"}, {"x-api-key": ""}, {"x-api-key": "é"}):
        encoded = {name: value.encode() for name, value in headers.items()}
        answer = guarded.predict("model", body, headers=encoded)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert guarded.client.get("/v1/models").status_code == 401
    assert guarded.client.get("/openapi.json").status_code == 401
    assert guarded.predict("model", body, headers=AUTHORIZED).status_code == 200
    assert guarded.predict("model", body, headers={"x-api-key": KEY}).status_code == 200
    for path in ("/ping", "/v2/health/live", "/v2/health/ready", "/metrics", "/ui"):
        assert guarded.client.get(path).status_code == 200
    assert KEY not in guarded.log.read_text()


def test_grpc_needs_the_key_and_speaks_tls(guarded: Served):
    chain = guarded.process.args[guarded.process.args.index("--ssl_certfile") + 1]
    credentials = grpc.ssl_channel_credentials(Path(chain).read_bytes())
    asked = pb.ModelInferRequest(model_name="model")
    asked.inputs.add(name="text", datatype="BYTES", shape=[1]).contents.bytes_contents.append(
        b"bad"
    )
    with grpc.secure_channel(f"localhost:{guarded.grpc_port}", credentials) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(pb.ServerLiveRequest()).live
        for metadata in ((), (("x-api-key", "wrong"),)):
            with pytest.raises(grpc.RpcError) as caught:
                stub.ModelInfer(asked, metadata=metadata)
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
        for metadata in ((("x-api-key", KEY),), (("authorization", f"Bearer {KEY}"),)):
            label = stub.ModelInfer(asked, metadata=metadata).outputs[0]
            assert list(label.contents.bytes_contents) == [b"__label__neg"]


def test_too_many_long_predictions_are_503(guarded: Served):
    """Each takes many turns of the event loop; two are let in at a time."""
    body = json.dumps({"instances": ["good " * 40] * 9_000}).encode()

    def send(_: int) -> httpx.Response:
        with httpx.Client(base_url=guarded.url, verify=False, timeout=120) as client:
            return client.post("/v1/models/model:predict", content=body, headers=AUTHORIZED)

    guarded.predict("model", {"instances": ["good"]}, headers=AUTHORIZED)
    answers: list[httpx.Response] = []
    waits = []
    # Whether more than two are there at once is up to the machine.
    while not any(answer.status_code == 503 and "--max_queue" in answer.text for answer in answers):
        assert len(answers) < 200
        with concurrent.futures.ThreadPoolExecutor(7) as pool:
            running = [pool.submit(send, index) for index in range(7)]
            # Meanwhile the server answers what is short, and says that it is well.
            while not all(one.done() for one in running):
                started = time.perf_counter()
                assert guarded.client.get("/v2/health/live").status_code == 200
                waits.append(time.perf_counter() - started)
                time.sleep(0.01)
            answers += [one.result() for one in running]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} <= {200, 503}
    for answer in refused:
        assert answer.headers["retry-after"] == "1"
        assert "--max_queue" in answer.json()["error"] or "--deadline" in answer.json()["error"]
    # The median: a machine that is busy with something else makes single ones late.
    assert statistics.median(waits) < 0.2
    assert guarded.metric("kftext_queue_length") == 0


def test_a_body_that_does_not_arrive_is_408(guarded: Served):
    with httpx.Client(base_url=guarded.url, verify=False, timeout=120) as client:

        def slowly():
            yield b'{"instances": '
            time.sleep(2)
            yield b'["good"]}'

        answer = client.post("/v1/models/model:predict", content=slowly(), headers=AUTHORIZED)
    assert answer.status_code == 408
    assert "--deadline_seconds" in answer.json()["error"]


def test_too_many_requests_at_once_are_503(guarded: Served):
    def slowly():
        yield b'{"instances": '
        time.sleep(0.7)
        yield b'["good"]}'

    def send(_: int) -> httpx.Response:
        with httpx.Client(base_url=guarded.url, verify=False, timeout=120) as client:
            return client.post("/v1/models/model:predict", content=slowly(), headers=AUTHORIZED)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(16)))
    codes = [answer.status_code for answer in answers]
    assert set(codes) == {200, 503}
    assert codes.count(200) <= 8
    refused = answers[codes.index(503)]
    assert "--max_concurrency" in refused.json()["error"]
    assert refused.headers["retry-after"] == "1"


def test_sigint_ends_it_at_once(guarded: Served):
    guarded.process.send_signal(signal.SIGINT)
    assert guarded.process.wait(120) == 0
    assert "closing the port in 0 s" in guarded.log.read_text()
