"""KServe's V1 protocol over HTTP."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent, from_http

from kftext.models import load
from serving.processes import Served


def softmax(*scores: float) -> list[float]:
    exponents = [math.exp(score) for score in scores]
    return [one / sum(exponents) for one in exponents]


def test_classifier_answers_the_best_label(server: Served):
    answer = server.predict("sentiment", {"instances": ["good movie", "bad bad"]})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    first, second = answer.json()["predictions"]
    assert first["label"] == ["__label__pos"]
    assert second["label"] == ["__label__neg"]
    # "good movie </s>" has the mean (0, 2/3, 0); fastText adds 1e-5 before it takes the logarithm.
    assert first["prob"] == [pytest.approx(softmax(0, 2 / 3, 0)[1] + 1e-5, abs=1e-6)]


def test_k_and_threshold(server: Served):
    body = {"instances": ["good"], "configuration": {"k": 3}}
    (prediction,) = server.predict("sentiment", body).json()["predictions"]
    assert prediction["label"][0] == "__label__pos"
    assert sorted(prediction["label"]) == ["__label__mixed", "__label__neg", "__label__pos"]
    assert prediction["prob"] == sorted(prediction["prob"], reverse=True)
    assert sum(prediction["prob"]) == pytest.approx(1, abs=1e-4)

    body["configuration"] = {"k": 3, "threshold": 0.5}
    (prediction,) = server.predict("sentiment", body).json()["predictions"]
    assert prediction["label"] == ["__label__pos"]
    body["configuration"] = {"k": 99, "threshold": 1}
    (prediction,) = server.predict("sentiment", body).json()["predictions"]
    assert prediction == {"prob": [], "label": []}


def test_vectors_of_words(server: Served, models):
    body = {"instances": ["king", "queen", "nobody"]}
    predictions = server.predict("vectors", body).json()["predictions"]
    assert [one["word"] for one in predictions] == ["king", "queen", "nobody"]
    expected = load(models["vectors"]).vectors(["king", "queen", "nobody"])
    np.testing.assert_array_equal(
        np.array([one["vector"] for one in predictions], np.float32), expected
    )
    assert predictions[0]["vector"] == [1.0, 0.1, 0.0, 0.0]
    assert predictions[2]["vector"] == [0, 0, 0, 0]


def test_unknown_words_get_vectors_from_subwords(server: Served, models):
    (prediction,) = server.predict("subwords", {"instances": ["kingly"]}).json()["predictions"]
    predictor = load(models["subwords"])
    predictor.warm_up()
    (expected,) = predictor.vectors(["kingly"])
    assert np.abs(expected).sum() > 0
    np.testing.assert_array_equal(np.array(prediction["vector"], np.float32), expected)


def test_nearest_neighbors(server: Served):
    body = {
        "instances": ["king", "pear"],
        "configuration": {"output": "nearest_neighbors", "k": 2},
    }
    king, pear = server.predict("vectors", body).json()["predictions"]
    assert king["word"] == "king"
    assert king["neighbors"][0]["word"] == "queen"
    assert pear["neighbors"][0]["word"] == "apple"
    assert len(king["neighbors"]) == 2
    cosine = (1 * 0.9 + 0.1 * 0.2) / (math.hypot(1, 0.1) * math.hypot(0.9, 0.2))
    assert king["neighbors"][0]["similarity"] == pytest.approx(cosine, abs=1e-6)


def test_sentence_vectors(server: Served, models):
    body = {"instances": ["king queen"], "configuration": {"output": "sentence_vectors"}}
    (prediction,) = server.predict("vectors", body).json()["predictions"]
    expected = load(models["vectors"]).sentence_vector("king queen")
    np.testing.assert_array_equal(np.array(prediction["vector"], np.float32), expected)


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'Application/JSON;charset="UTF8"',
        "application/octet-stream",
        "application/x-www-form-urlencoded",  # what `curl -d` says
        None,
    ],
)
def test_content_types_of_json(server: Served, content_type):
    headers = {"content-type": content_type} if content_type else {}
    answer = server.client.post(
        "/v1/models/sentiment:predict", content=b'{"instances": ["good"]}', headers=headers
    )
    assert answer.status_code == 200, answer.text


def test_a_charset_is_decoded(server: Served):
    answer = server.client.post(
        "/v1/models/vectors:predict",
        content=json.dumps({"instances": ["ü"]}, ensure_ascii=False).encode("latin-1"),
        headers={"content-type": "application/json; charset=iso-8859-1"},
    )
    assert answer.json()["predictions"][0]["word"] == "ü"


def test_no_instances_give_no_predictions(server: Served):
    assert server.predict("sentiment", {"instances": []}).json() == {"predictions": []}
    assert server.predict("vectors", {"instances": []}).json() == {"predictions": []}


INSTANCES = "expected a list of strings"
BAD_BODIES = [
    (b"", "the body is empty"),
    (b'{"instances": ["good"', "line 1, column 22"),
    (b'{"instances":\n ["good",]}', "line 2, column 9"),
    (b'{"instances": ["\xff"]}', "not JSON"),
    (b'"{\\"instances\\": [\\"good\\"]}"', "encoded twice"),
    (b'["good"]', "the body is a list"),
    (b"null", "the body is null"),
    (b"{}", "no 'instances'"),
    (b'{"instances": "good"}', INSTANCES),
    (b'{"instances": {"text": "good"}}', INSTANCES),
    (b'{"instances": ["good", 3]}', "instances[1]: expected a string, got a number"),
    (b'{"instances": ["good", "bad", null]}', "instances[2]: expected a string, got null"),
    (b'{"instances": [["good"]]}', "instances[0]: expected a string, got a list"),
    (b'{"instances": ["good"], "configuration": 2}', "configuration: expected an object"),
    (b'{"instances": ["good"], "configuration": {"k": 0}}', "configuration.k: expected an integer"),
    (
        b'{"instances": ["good"], "configuration": {"k": "2"}}',
        "configuration.k: expected an integer",
    ),
    (
        b'{"instances": ["good"], "configuration": {"k": true}}',
        "configuration.k: expected an integer",
    ),
    (
        b'{"instances": ["good"], "configuration": {"k": 1.5}}',
        "configuration.k: expected an integer",
    ),
    (b'{"instances": ["good"], "configuration": {"threshold": 2}}', "configuration.threshold"),
    (b'{"instances": ["good"], "configuration": {"output": "vectors"}}', "expected 'labels'"),
    (b'{"instances": ["good"], "configuration": {"output": []}}', "expected 'labels'"),
    (b"[" * 100_000, "not JSON"),
]


@pytest.mark.parametrize(("body", "message"), BAD_BODIES)
def test_a_bad_body_says_what_was_expected(server: Served, body, message):
    answer = server.client.post(
        "/v1/models/sentiment:predict", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert message in error
    assert "Traceback" not in error
    assert "expected" in error


def test_other_content_types_name_the_right_one(server: Served):
    answer = server.client.post(
        "/v1/models/sentiment:predict", content=b"a=b", headers={"content-type": "text/csv"}
    )
    assert answer.status_code == 415
    assert "application/json" in answer.json()["error"]
    answer = server.client.post(
        "/v1/models/sentiment:predict",
        content=b"{}",
        headers={"content-type": "application/json; charset=klingon"},
    )
    assert answer.status_code == 415
    answer = server.client.post(
        "/v1/models/sentiment:predict", content=b"{}", headers={"content-encoding": "br"}
    )
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "gzip"


def test_an_unknown_model_names_those_there_are(server: Served):
    answer = server.predict("sentimental", {"instances": ["good"]})
    assert answer.status_code == 404
    assert "sentiment, subwords, vectors" in answer.json()["error"]


def test_get_is_not_post(server: Served):
    answer = server.client.get("/v1/models/sentiment:predict")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_metadata_routes(server: Served):
    assert server.client.get("/v1/models").json() == {
        "models": ["sentiment", "vectors", "subwords"]
    }
    assert server.client.get("/v1/models/sentiment").json() == {"name": "sentiment", "ready": True}
    answer = server.client.get("/v1/models/nobody")
    assert answer.status_code == 404
    assert "error" in answer.json()
    answer = server.client.get("/no/such/page")
    assert answer.status_code == 404
    assert "/openapi.json" in answer.json()["error"]


def test_cloud_events_by_headers(server: Served):
    event = CloudEvent({"type": "test", "source": "here"}, {"instances": ["king"]})
    headers, body = to_binary(event)
    answer = server.client.post("/v1/models/vectors:predict", content=body, headers=headers)
    event = from_http(dict(answer.headers), answer.content)
    assert event["type"] == "io.kserve.inference.response"
    assert event["source"] == "io.kserve.inference.vectors"
    assert event.data == {"predictions": [{"vector": [1.0, 0.1, 0, 0], "word": "king"}]}
    for bad in (b"", b'{"instances": [1]}', b"\xff"):
        answer = server.client.post("/v1/models/vectors:predict", content=bad, headers=headers)
        assert answer.status_code == 400


def test_cloud_events_in_the_body(server: Served):
    event = CloudEvent({"type": "test", "source": "here"}, {"instances": ["good"]})
    headers, body = to_structured(event)
    answer = server.client.post("/v1/models/sentiment:predict", content=body, headers=headers)
    assert answer.headers["content-type"] == "application/cloudevents+json"
    event = from_http(dict(answer.headers), answer.content)
    assert event.data["predictions"][0]["label"] == ["__label__pos"]
    for bad in (b"", b"{}", b'{"data": 3}', b'{"data": {"instances": [1]}}', b"[1]"):
        answer = server.client.post("/v1/models/sentiment:predict", content=bad, headers=headers)
        assert answer.status_code == 400
        assert "expected" in answer.json()["error"]


def test_the_request_id_is_echoed_or_made(server: Served):
    body = {"instances": ["good"]}
    answer = server.predict("sentiment", body, headers={"x-request-id": "abc-123"})
    assert answer.headers["x-request-id"] == "abc-123"
    made = server.predict("sentiment", body).headers["x-request-id"]
    assert len(made) == 32
    long = server.predict("sentiment", body, headers={"x-request-id": "x" * 1000})
    assert len(long.headers["x-request-id"]) == 32
    assert (
        server.client.get("/v1/models", headers={"x-request-id": "q"}).headers["x-request-id"]
        == "q"
    )
