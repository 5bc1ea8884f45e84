"""TensorFlow models behind the same routes: a classifier, and an encoder that is served as it is."""

from __future__ import annotations

import concurrent.futures
import hashlib
import math
import shutil
import time
from pathlib import Path

import grpc
import httpx
import numpy as np
import orjson
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from kftext.batch.transform import BatchRequest, transform
from kftext.serving.loading import load_model
from kftext.serving.model import ServedModel
from serving.processes import Served, sagemaker_client
from text_classification.naive_bert import write_checkpoint

pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
pytestmark = pytest.mark.usefixtures("two_threads")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from serving.tensorflow_models import write_classifier, write_embedding

    root = tmp_path_factory.mktemp("tensorflow")
    return {
        "weather": write_classifier(root / "weather"),
        "letters": write_embedding(root / "letters"),
        "other": write_embedding(root / "other", scale=2.0),
    }


@pytest.fixture(scope="module")
def tensorflow_server(serve, folders, models) -> Served:
    return serve(
        *("--model_name", "weather", "--model_dir", str(folders["weather"])),
        *("--model_name", "letters", "--model_dir", str(folders["letters"])),
        *("--model_name", "words", "--model_dir", str(models["vectors"])),
        *("--reload_seconds", "0.2", "--max_batch_size", "16"),
    )


def warm(count: int) -> float:
    return 1 / (1 + math.exp(-count))


def test_a_classifier_answers(tensorflow_server: Served):
    body = {"instances": ["banana", "", "bcd"], "configuration": {"k": 2}}
    found = tensorflow_server.predict("weather", body).json()["predictions"]
    assert found[0]["label"] == ["warm", "cold"]
    assert found[0]["prob"] == pytest.approx([warm(3), 1 - warm(3)], abs=1e-6)
    body["configuration"] = {"k": 2, "threshold": 0.6}
    found = tensorflow_server.predict("weather", body).json()["predictions"]
    assert [len(one["label"]) for one in found] == [1, 0, 0]
    metadata = tensorflow_server.client.get("/v2/models/weather").json()
    assert metadata["platform"] == "kftext_text-classifier"


def test_one_text_as_the_reference_asks(tensorflow_server: Served):
    headers = {"content-type": "application/x-text", "accept": "application/json;verbose"}
    url = "/endpoints/weather/invocations"
    answer = tensorflow_server.client.post(url, content=b"banana", headers=headers)
    assert answer.json() == {
        "probabilities": pytest.approx([1 - warm(3), warm(3)], abs=1e-6),
        "labels": ["cold", "warm"],
        "predicted_label": "warm",
    }
    headers["accept"] = "application/json"
    answer = tensorflow_server.client.post(url, content=b"banana", headers=headers)
    assert list(answer.json()) == ["probabilities"]


def test_boto3_gets_what_the_reference_answers(tensorflow_server: Served):
    runtime = sagemaker_client(tensorflow_server.url)
    asked = {"EndpointName": "weather", "ContentType": "application/x-text", "Body": b"banana"}
    answer = runtime.invoke_endpoint(**asked, Accept="application/json;verbose")
    body = orjson.loads(answer["Body"].read())
    assert list(body) == ["probabilities", "labels", "predicted_label"]
    assert body["predicted_label"] == "warm"
    answer = runtime.invoke_endpoint(**asked, Accept="application/json")
    assert orjson.loads(answer["Body"].read()) == {
        "probabilities": pytest.approx([1 - warm(3), warm(3)], abs=1e-6)
    }


def test_many_texts_over_v2(tensorflow_server: Served):
    tensor = {"name": "text", "shape": [3], "datatype": "BYTES", "data": ["a", "aa", ""]}
    answer = tensorflow_server.client.post("/v2/models/weather/infer", json={"inputs": [tensor]})
    outputs = {one["name"]: one for one in answer.json()["outputs"]}
    assert outputs["label"]["data"][:2] == ["warm", "warm"]
    assert outputs["prob"]["data"] == pytest.approx([warm(1), warm(2), 0.5], abs=1e-6)


def test_an_encoder_is_served_as_it_is(tensorflow_server: Served):
    found = tensorflow_server.predict("letters", {"instances": ["banana", "", "cab"]}).json()
    assert found == {"predictions": [{"vector": v} for v in ([3, 1, 0], [0, 0, 0], [1, 1, 1])]}
    answer = tensorflow_server.client.post(
        "/endpoints/letters/invocations",
        content=b"abba",
        headers={"content-type": "application/x-text"},
    )
    assert answer.json() == {"embedding": [2, 2, 0]}
    metadata = tensorflow_server.client.get("/v2/models/letters").json()
    assert metadata["platform"] == "kftext_text-encoder"
    assert metadata["outputs"] == [{"name": "vector", "datatype": "FP32", "shape": [-1, 3]}]
    body = {"instances": ["a"], "configuration": {"output": "labels"}}
    answer = tensorflow_server.predict("letters", body)
    assert answer.status_code == 400
    assert "expected 'sentence_vectors'" in answer.json()["error"]


def test_grpc(tensorflow_server: Served):
    asked = pb.ModelInferRequest(model_name="letters")
    asked.inputs.add(name="text", datatype="BYTES", shape=[2]).contents.bytes_contents.extend(
        [b"aa", b"c"]
    )
    with grpc.insecure_channel(f"127.0.0.1:{tensorflow_server.grpc_port}") as channel:
        (output,) = GRPCInferenceServiceStub(channel).ModelInfer(asked).outputs
    assert (output.name, list(output.shape)) == ("vector", [2, 3])
    assert list(output.contents.fp32_contents) == [2, 0, 0, 0, 0, 1]


def test_more_than_a_batch_keeps_its_order(tensorflow_server: Served):
    texts = ["a" * (index % 7) + "c" * (index % 3) for index in range(100)]
    found = tensorflow_server.predict("letters", {"instances": texts}).json()["predictions"]
    assert [one["vector"] for one in found] == [[i % 7, 0, i % 3] for i in range(100)]
    assert tensorflow_server.predict("letters", {"instances": []}).json() == {"predictions": []}


def test_requests_at_the_same_time_get_their_own_answers(tensorflow_server: Served):
    def ask(index: int) -> None:
        with httpx.Client(base_url=tensorflow_server.url, timeout=120) as client:
            for turn in range(20):
                count = 1 + (index + turn) % 9
                body = {"instances": ["a" * count, "b"]}
                answer = client.post("/v1/models/letters:predict", json=body)
                vectors = [one["vector"] for one in answer.json()["predictions"]]
                assert vectors == [[count, 0, 0], [0, 1, 0]]

    calls = 'kftext_batch_instances_count{model="letters"}'
    before = tensorflow_server.metric(calls)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    # Fewer calls than requests: some went together.
    assert tensorflow_server.metric(calls) - before < 160


def test_a_text_that_the_model_fails_on_harms_no_other(tensorflow_server: Served):
    def ask(text: str) -> int:
        with httpx.Client(base_url=tensorflow_server.url, timeout=120) as client:
            body = {"instances": [text]}
            return client.post("/v1/models/weather:predict", json=body).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(ask, ["a", "a!"] * 20))
    assert codes == [200, 500] * 20
    assert "Traceback" not in tensorflow_server.log.read_text()


def test_a_changed_saved_model_is_reloaded(tensorflow_server: Served, folders):
    for file in folders["other"].rglob("*"):
        if file.is_file():
            shutil.copy(file, folders["letters"] / file.relative_to(folders["other"]))
    end = time.monotonic() + 300
    body = {"instances": ["abc"]}
    while True:
        (one,) = tensorflow_server.predict("letters", body).json()["predictions"]
        if one["vector"] == [2, 2, 2]:
            break
        assert one["vector"] == [1, 1, 1]
        assert time.monotonic() < end, tensorflow_server.log.read_text()
        time.sleep(0.1)


def test_the_version_says_what_is_served(folders):
    """The same files in another folder are the same version; other weights are another."""
    assert load_model(folders["weather"]).version == load_model(folders["weather"]).version
    assert load_model(folders["weather"]).version != load_model(folders["other"]).version


def test_a_bert_checkpoint_is_an_encoder(tmp_path):
    write_checkpoint(tmp_path / "bert")
    loaded = load_model(tmp_path / "bert", private=True)
    assert (loaded.kind, loaded.on_tensorflow) == ("text-encoder", True)
    vectors = loaded.predictor.embed(["the film was good", "bad", ""])
    assert vectors.shape == (3, loaded.predictor.dim)
    assert len(np.unique(vectors, axis=0)) == 3


def test_an_encoder_is_found_by_its_handle(folders, tmp_path, monkeypatch):
    handle = "https://tfhub.dev/someone/letters/1"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    shutil.copytree(folders["other"], tmp_path / hashlib.sha1(handle.encode()).hexdigest())
    model = ServedModel("letters", handle, reloads=True)
    assert model.loaded.kind == "text-encoder"
    assert model.target.predictor.embed(["abc"]).tolist() == [[2, 2, 2]]
    assert not model.settled()


def test_batch_transform_uses_the_same_models(folders, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"{'a' * (index % 5)}b\n" for index in range(300)))
    for name in ("weather", "other"):
        summary = transform(
            BatchRequest(str(folders[name]), str(texts), str(tmp_path / f"{name}.jsonl"))
        )
        assert (summary.lines, summary.rejected) == (300, 0)
    rows = [orjson.loads(line) for line in (tmp_path / "weather.jsonl").read_bytes().splitlines()]
    assert [row["prob"][0] for row in rows] == pytest.approx(
        [warm(index % 5) for index in range(300)], abs=1e-6
    )
    rows = [orjson.loads(line) for line in (tmp_path / "other.jsonl").read_bytes().splitlines()]
    np.testing.assert_array_equal(
        [row["vector"] for row in rows], [[2 * (index % 5), 2, 0] for index in range(300)]
    )
