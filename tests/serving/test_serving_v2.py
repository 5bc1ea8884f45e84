"""The Open Inference protocol over REST and gRPC, by plain requests and by KServe's own clients."""

from __future__ import annotations

import asyncio
import struct
import time

import grpc
import numpy as np
import pytest
from kserve import (
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferRequest,
    RESTConfig,
)
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from kserve.protocol.infer_type import RequestedOutput

from serving.processes import Served

CLASSIFIER = "sentiment"


def request(*texts: str, **parameters: object) -> dict[str, object]:
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}
    return {"id": "42", "inputs": [tensor], "parameters": parameters}


def infer(server: Served, model: str, body: object):
    return server.client.post(f"/v2/models/{model}/infer", json=body)


def outputs(answer) -> dict[str, dict[str, object]]:
    assert answer.status_code == 200, answer.text
    return {output["name"]: output for output in answer.json()["outputs"]}


def test_labels(server: Served):
    answer = infer(server, CLASSIFIER, request("good", "bad", k=2))
    body = answer.json()
    assert body["model_name"] == CLASSIFIER
    assert body["id"] == "42"
    assert body["model_version"] == server.client.get("/v2/models/sentiment").json()["versions"][0]
    found = outputs(answer)
    assert found["label"]["datatype"] == "BYTES"
    assert found["label"]["shape"] == found["prob"]["shape"] == [2, 2]
    assert found["label"]["data"][0] == "__label__pos"
    assert found["label"]["data"][2] == "__label__neg"
    assert found["prob"]["datatype"] == "FP32"
    assert found["prob"]["data"][0] > found["prob"]["data"][1]


def test_what_a_threshold_leaves_out_is_filled(server: Served):
    found = outputs(infer(server, CLASSIFIER, request("good", k=3, threshold=0.4)))
    assert found["label"]["data"] == ["__label__pos", "", ""]
    assert found["prob"]["data"][1:] == [0, 0]


def test_vectors_and_neighbors(server: Served):
    found = outputs(infer(server, "vectors", request("king", "nobody")))
    assert found["vector"]["shape"] == [2, 4]
    assert found["vector"]["data"] == [1, 0.1, 0, 0, 0, 0, 0, 0]
    answer = infer(server, "vectors", request("king", "pear", output="nearest_neighbors", k=2))
    found = outputs(answer)
    assert found["neighbor"]["shape"] == found["similarity"]["shape"] == [2, 2]
    assert found["neighbor"]["data"][::2] == ["queen", "apple"]
    found = outputs(infer(server, "vectors", request("king queen", output="sentence_vectors")))
    assert found["vector"]["shape"] == [1, 4]


def test_an_id_is_made_when_there_is_none(server: Served):
    body = request("good")
    del body["id"]
    assert len(infer(server, CLASSIFIER, body).json()["id"]) == 32


def test_a_column_of_texts(server: Served):
    body = request("good", "bad")
    body["inputs"][0] |= {"shape": [2, 1], "data": [["good"], ["bad"]]}
    found = outputs(infer(server, CLASSIFIER, body))
    assert found["label"]["data"] == ["__label__pos", "__label__neg"]


def test_the_outputs_asked_for(server: Served):
    body = request("good") | {"outputs": [{"name": "prob"}]}
    assert list(outputs(infer(server, CLASSIFIER, body))) == ["prob"]
    body["outputs"] = [{"name": "nobody"}]
    answer = infer(server, CLASSIFIER, body)
    assert answer.status_code == 400
    assert "label, prob" in answer.json()["error"]


def test_versions(server: Served):
    version = server.client.get("/v2/models/sentiment").json()["versions"][0]
    path = "/v2/models/sentiment/versions/{}/infer"
    assert server.client.post(path.format(version), json=request("good")).status_code == 200
    answer = server.client.post(path.format("other"), json=request("good"))
    assert answer.status_code == 404
    assert version in answer.json()["error"]
    path = "/v2/models/sentiment/versions/{}"
    assert server.client.get(path.format(version)).json()["name"] == "sentiment"
    assert server.client.get(path.format(version) + "/ready").json()["ready"] is True
    assert server.client.get(path.format("other")).status_code == 404
    assert server.client.get("/v2/models/nobody/versions/1").status_code == 404
    assert server.client.post("/v1/models/sentiment:explain", json={}).status_code == 404


def test_metadata_describes_shapes(server: Served):
    body = server.client.get("/v2/models/vectors").json()
    assert body["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert body["outputs"] == [{"name": "vector", "datatype": "FP32", "shape": [-1, 4]}]
    names = [
        output["name"] for output in server.client.get("/v2/models/sentiment").json()["outputs"]
    ]
    assert names == ["label", "prob"]
    assert server.client.get("/v2").json()["name"] == "kserve"
    assert server.client.get("/v2/health/live").json() == {"live": True}
    assert server.client.get("/v2/health/ready").json() == {"ready": True}
    assert server.client.get("/v2/models/sentiment/ready").json()["ready"] is True
    assert server.client.get("/v2/models/nobody").status_code == 404


def test_models_are_not_unloaded_by_clients(server: Served):
    answer = server.client.post("/v2/repository/models/sentiment/unload")
    assert answer.status_code == 400
    assert "--reload_seconds" in answer.json()["error"]
    assert server.client.get("/v1/models/sentiment").status_code == 200


def test_the_binary_extension(server: Served):
    texts = [b"good", "bäd bad".encode()]
    packed = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    head = (
        b'{"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES",'
        b'"parameters": {"binary_data_size": %d}}], "parameters": {"binary_data_output": true}}'
        % len(packed)
    )
    headers = {
        "inference-header-content-length": str(len(head)),
        "content-type": "application/octet-stream",
    }
    answer = server.client.post(
        "/v2/models/sentiment/infer", content=head + packed, headers=headers
    )
    length = int(answer.headers["inference-header-content-length"])
    assert answer.headers["content-type"] == "application/octet-stream"
    tail = answer.content[length:]
    assert tail[:16] == b"\x0c\0\0\0__label__pos"
    assert tail[16:32] == b"\x0c\0\0\0__label__neg"
    assert len(np.frombuffer(tail[32:], "<f4")) == 2
    for bad in (b"0", b"-1", b"x", b"99999"):
        answer = server.client.post(
            "/v2/models/sentiment/infer",
            content=head + packed,
            headers={"inference-header-content-length": bad.decode()},
        )
        assert answer.status_code == 400
    for broken in (packed[:-1], packed + b"\x01", packed[:4] + b"\xff" * (len(packed) - 4)):
        size = b"%d" % len(packed)
        changed = head.replace(b": " + size, b": %d" % len(broken))
        answer = server.client.post(
            "/v2/models/sentiment/infer",
            content=changed + broken,
            headers={"inference-header-content-length": str(len(changed))},
        )
        assert answer.status_code == 400, answer.text


def changed(**change: object) -> dict[str, object]:
    body = request("good")
    body["inputs"][0] |= change
    return body


BAD = [
    (b"{", "not JSON"),
    ({}, "inputs: expected a list"),
    ({"inputs": []}, "inputs: 0 tensors"),
    ({"inputs": [1]}, "inputs: expected a list of tensors"),
    ({"inputs": request("good")["inputs"] * 2}, "inputs: 2 tensors"),
    (changed(datatype="FP32"), "datatype"),
    (changed(shape=[2]), "the shape says 2 elements, the data holds 1"),
    (changed(shape=[1, 2]), "shape: expected"),
    (changed(shape="1"), "shape: expected"),
    (changed(shape=[-1]), "shape: expected"),
    (changed(data=[1]), "data[0]: expected a string, got a number"),
    (changed(data="good"), "data: expected a list"),
    (changed(parameters={"binary_data_size": 5}), "binary_data_size"),
    (request("good", k=0), "parameters.k"),
    (request("good") | {"id": 3}, "id: expected a string"),
    (request("good") | {"id": 0}, "id: expected a string"),
    (changed(shape=[2, 1], data=[["good", "bad"], []]), "data[0]: expected a string, got a list"),
    (changed(shape=[2, 1], data=[["good"], []]), "data[1]: expected a string, got a list"),
    (request("good") | {"parameters": []}, "parameters: expected an object"),
    (request("good") | {"outputs": [3]}, "outputs[0]"),
]


@pytest.mark.parametrize(("body", "message"), BAD)
def test_a_bad_request_says_what_was_expected(server: Served, body, message):
    if isinstance(body, bytes):
        answer = server.client.post("/v2/models/sentiment/infer", content=body)
    else:
        answer = infer(server, CLASSIFIER, body)
    assert answer.status_code == 400, answer.text
    assert message in answer.json()["error"]


def infer_input(*texts: str) -> InferInput:
    tensor = InferInput("text", [len(texts)], "BYTES")
    tensor.set_data_from_numpy(
        np.array([text.encode() for text in texts], object), binary_data=True
    )
    return tensor


@pytest.mark.parametrize("binary", [True, False])
def test_kserves_rest_client(server: Served, binary):
    async def ask():
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        body = InferRequest(
            model_name=CLASSIFIER,
            infer_inputs=[infer_input("good", "bad")],
            parameters={"k": 2},
            request_outputs=[
                RequestedOutput("label", {"binary_data": binary}),
                RequestedOutput("prob", {"binary_data": binary}),
            ],
        )
        try:
            assert await client.is_server_ready(server.url)
            assert await client.is_server_live(server.url)
            assert await client.is_model_ready(server.url, CLASSIFIER)
            return await client.infer(server.url, body, model_name=CLASSIFIER)
        finally:
            await client.close()

    label, prob = asyncio.run(ask()).outputs
    names = [one.decode() if isinstance(one, bytes) else one for one in label.as_numpy()[:, 0]]
    assert names == ["__label__pos", "__label__neg"]
    assert prob.as_numpy().shape == (2, 2)
    assert prob.as_numpy()[0, 0] > 0.5


def test_kserves_grpc_client(server: Served):
    async def ask():
        client = InferenceGRPCClient(f"127.0.0.1:{server.grpc_port}")
        try:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("vectors")
            with pytest.raises(grpc.RpcError) as caught:
                await client.is_model_ready("nobody")
            assert caught.value.code() == grpc.StatusCode.NOT_FOUND
            body = InferRequest(
                model_name="vectors", infer_inputs=[infer_input("king", "pear")], request_id="7"
            )
            return await client.infer(body)
        finally:
            await client.close()

    answer = asyncio.run(ask())
    assert answer.id == "7"
    (vector,) = answer.outputs
    assert vector.as_numpy().tolist() == np.float32([[1, 0.1, 0, 0], [0, 0, 0.75, 0.5]]).tolist()


@pytest.fixture(scope="module")
def stub(server: Served):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield GRPCInferenceServiceStub(channel)


def grpc_request(*texts: bytes, **change: object) -> pb.ModelInferRequest:
    asked = pb.ModelInferRequest(model_name=CLASSIFIER, id="9")
    tensor = asked.inputs.add(name="text", datatype="BYTES", shape=[len(texts)])
    tensor.contents.bytes_contents.extend(texts)
    for name, value in change.items():
        if name == "shape":
            tensor.shape[:] = value
        else:
            setattr(asked, name, value)
    return asked


def test_grpc_contents_answer_contents(stub):
    asked = grpc_request(b"good", b"bad")
    asked.parameters["k"].int64_param = 2
    answer = stub.ModelInfer(asked)
    assert answer.id == "9"
    assert answer.model_version
    label, prob = answer.outputs
    assert list(label.shape) == [2, 2]
    assert list(label.contents.bytes_contents)[::2] == [b"__label__pos", b"__label__neg"]
    assert len(prob.contents.fp32_contents) == 4
    asked.model_version = answer.model_version
    assert stub.ModelInfer(asked).model_version == answer.model_version


def test_a_threshold_over_kserves_grpc_client(server: Served):
    """Its messages hold no floating-point number, so it comes as a string."""

    async def ask(threshold: str):
        client = InferenceGRPCClient(f"127.0.0.1:{server.grpc_port}")
        try:
            body = InferRequest(
                model_name=CLASSIFIER,
                infer_inputs=[infer_input("good")],
                parameters={"k": 3, "threshold": threshold},
            )
            return await client.infer(body)
        finally:
            await client.close()

    label, _ = asyncio.run(ask("0.4")).outputs
    assert label.as_numpy().tolist() == [[b"__label__pos", b"", b""]]
    for wrong in ("2", "half"):
        with pytest.raises(grpc.RpcError, match="threshold: expected a number from 0 to 1"):
            asyncio.run(ask(wrong))


def test_grpc_numbers_that_kserves_messages_do_not_know(stub):
    asked = grpc_request(b"good")
    # uint64_param, field 5, as a varint; tritonclient's floating-point numbers have a test of their own.
    asked.parameters["k"].MergeFromString(b"\x28\x02")
    assert list(stub.ModelInfer(asked).outputs[0].shape) == [1, 2]


def test_a_grpc_call_that_is_given_up_counts_as_no_error(server: Served, stub):
    given_up = 'kftext_requests_total{model="vectors",protocol="grpc",status="499"}'
    failed = 'kftext_requests_total{model="vectors",protocol="grpc",status="500"}'
    asked = grpc_request(*[b"king " * 35] * 1000, model_name="vectors")
    asked.parameters["output"].string_param = "sentence_vectors"
    # How long it takes to come and to be answered differs from machine to machine: some delay lies in between.
    delays = [0.001 * 1.3**step for step in range(30)]
    for delay in delays * 10:
        call = stub.ModelInfer.future(asked)
        time.sleep(delay)
        call.cancel()
        if server.metric(given_up):
            break
    assert server.metric(given_up)
    assert server.metric(failed) == 0


def test_a_grpc_message_that_is_none_leaves_no_traceback(server: Served):
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        infer_bytes = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError):
            infer_bytes(b"\xff\xff")
    assert "Traceback" not in server.log.read_text()


def test_grpc_metadata(stub):
    answer = stub.ModelMetadata(pb.ModelMetadataRequest(name="vectors"))
    version = stub.ModelInfer(grpc_request(b"king", model_name="vectors")).model_version
    assert list(answer.versions) == [version]
    for name, asked in (
        (stub.ModelMetadata, pb.ModelMetadataRequest),
        (stub.ModelReady, pb.ModelReadyRequest),
    ):
        assert name(asked(name="vectors", version=version))
        with pytest.raises(grpc.RpcError, match=f"is at {version}") as caught:
            name(asked(name="vectors", version="other"))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert answer.platform == "kftext_word-vectors"
    assert list(answer.outputs[0].shape) == [-1, 4]
    assert stub.ServerMetadata(pb.ServerMetadataRequest()).name == "kserve"


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        (grpc_request(b"good", model_name="nobody"), "NOT_FOUND", "sentiment"),
        (grpc_request(b"good", model_version="other"), "NOT_FOUND", "version"),
        (grpc_request(b"good", shape=[2]), "INVALID_ARGUMENT", "holds 1"),
        (grpc_request(b"\xff"), "INVALID_ARGUMENT", "data[0]: not UTF-8"),
        (grpc_request(*[b"x"] * 1001), "RESOURCE_EXHAUSTED", "1001 instances"),
        (pb.ModelInferRequest(model_name=CLASSIFIER), "INVALID_ARGUMENT", "0 tensors"),
    ],
)
def test_grpc_errors(stub, asked, code, message):
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(asked)
    assert caught.value.code().name == code
    assert message in caught.value.details()


def test_grpc_repository_calls_are_refused(stub):
    with pytest.raises(grpc.RpcError) as caught:
        stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name=CLASSIFIER))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
