"""SageMaker's inference contract, by plain HTTP and by boto3's own client."""

from __future__ import annotations

import json

import botocore.exceptions
import pytest

from serving.processes import Served, sagemaker_client

SUPPORTED = "application/json, application/jsonlines, application/x-text, text/plain, text/csv"


def invoke(
    server: Served, body: bytes, content_type: str | None, model: str = "sentiment", **headers: str
):
    headers["x-amzn-sagemaker-target-model"] = model
    if content_type:
        headers["content-type"] = content_type
    return server.client.post("/invocations", content=body, headers=headers)


@pytest.fixture(scope="module")
def runtime(server: Served):
    return sagemaker_client(server.url)


def test_ping(server: Served):
    assert server.client.get("/ping").status_code == 200
    assert server.client.post("/ping").status_code == 405


def test_words_as_the_reference_prints_them(server: Served):
    answer = invoke(
        server, b'{"instances": ["king", "queen"]}', "application/json", model="vectors"
    )
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == [
        {"vector": [1.0, 0.1, 0.0, 0.0], "word": "king"},
        {"vector": [0.9, 0.2, 0.0, 0.0], "word": "queen"},
    ]


def test_labels_as_the_reference_prints_them(server: Served):
    body = b'{"instances": ["the movie was good"], "configuration": {"k": 2}}'
    answer = invoke(server, body, "application/json")
    (prediction,) = answer.json()
    assert list(prediction) == ["prob", "label"]
    assert prediction["label"][0] == "__label__pos"
    assert len(prediction["label"]) == len(prediction["prob"]) == 2
    (prediction,) = invoke(server, b'{"instances": ["good"]}', "application/json").json()
    assert len(prediction["label"]) == 1


def test_json_lines(server: Served):
    body = b'{"source": "good"}\n{"source": "bad", "k": 2}\n'
    answer = invoke(server, body, "application/jsonlines", accept="application/json")
    assert answer.headers["content-type"] == "application/jsonlines"
    first, second = [json.loads(line) for line in answer.text.splitlines()]
    assert first["label"] == ["__label__pos"]
    assert len(first["prob"]) == 1
    assert second["label"][0] == "__label__neg"
    assert len(second["label"]) == len(second["prob"]) == 2
    assert answer.text.endswith("\n")


def test_json_lines_with_words(server: Served):
    body = b'{"source": "king"}\r\n{"source": "pear"}'
    answer = invoke(server, body, "application/jsonlines; charset=utf-8", model="vectors")
    first, second = [json.loads(line) for line in answer.text.splitlines()]
    assert first == {"vector": [1.0, 0.1, 0.0, 0.0], "word": "king"}
    assert second["word"] == "pear"


def test_one_text(server: Served):
    answer = invoke(server, b"good movie", "application/x-text", accept="application/json")
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["probabilities"]
    # In the order of the model's classes, whatever their rank.
    negative, positive, mixed = answer.json()["probabilities"]
    assert positive > negative == mixed


def test_one_text_verbose(server: Served):
    answer = invoke(
        server,
        "très good\n".encode("latin-1"),
        "application/x-text;charset=latin-1",
        accept="application/json;verbose",
    )
    assert answer.headers["content-type"] == "application/json;verbose"
    body = answer.json()
    assert list(body) == ["probabilities", "labels", "predicted_label"]
    assert body["labels"] == ["__label__neg", "__label__pos", "__label__mixed"]
    assert body["predicted_label"] == "__label__pos"
    assert body["probabilities"][1] == max(body["probabilities"])


def test_one_text_embedded(server: Served):
    answer = invoke(server, b"king", "application/x-text", model="vectors")
    king = [1 / 1.01**0.5, 0.1 / 1.01**0.5, 0, 0]
    assert answer.json() == {"embedding": pytest.approx(king, abs=1e-6)}


def test_plain_text_is_a_text_a_line(server: Served):
    answer = invoke(server, b"good\r\nbad\n", "text/plain")
    assert [one["label"] for one in answer.json()] == [["__label__pos"], ["__label__neg"]]
    answer = invoke(server, b"good\nbad", "text/plain", accept="application/jsonlines")
    assert answer.headers["content-type"] == "application/jsonlines"
    assert len(answer.text.splitlines()) == 2


def test_csv_is_a_text_a_row(server: Served):
    answer = invoke(server, b'"good, ""very"" good\nmovie"\r\nbad\r\n', "text/csv")
    assert [one["label"] for one in answer.json()] == [["__label__pos"], ["__label__neg"]]


@pytest.mark.parametrize("content_type", ["application/x-text", "text/plain", "text/csv"])
def test_a_byte_order_mark_is_no_part_of_the_first_word(server: Served, content_type):
    plain = invoke(server, b"good", content_type)
    assert invoke(server, b"\xef\xbb\xbfgood", content_type).json() == plain.json()
    utf16 = invoke(server, "\ufeffgood".encode("utf-16-le"), f"{content_type}; charset=utf-16-le")
    assert utf16.json() == plain.json()


def test_a_long_text_in_csv_is_as_long_as_any_other(server: Served):
    assert invoke(server, b"x" * 150_000, "text/csv").status_code == 200
    answer = invoke(server, b"x" * 180_001, "text/csv")
    assert answer.status_code == 413
    assert "--max_characters" in answer.json()["error"]


BAD = [
    ("application/json", b'"{\\"instances\\": []}"', 400, "encoded twice"),
    ("application/json", b'{"instances": [1]}', 400, "instances[0]"),
    ("application/jsonlines", b'{"source": "a"}\n{"source": 3}', 400, "line 2: source: expected"),
    ("application/jsonlines", b'{"source": "a"}\n\n{"source": "b"}', 400, "line 2 is empty"),
    ("application/jsonlines", b'{"source": "a"}\n{"source": ', 400, "line 2 is not JSON"),
    ("application/jsonlines", b'{"text": "a"}', 400, 'expected {"source": "text", "k": 1}'),
    ("application/jsonlines", b'{"source": "a", "k": 0}', 400, "line 1: k: expected"),
    ("application/jsonlines", b'{"source": "a"}\n["b"]', 400, "line 2 is a list"),
    ("application/jsonlines", b'{"source": "a"}\n"b"', 400, "line 2 is a JSON string"),
    ("application/jsonlines", b'{"source": "a"}\n{"source": "a", "threshold": 1}', 400, "line 2"),
    ("application/jsonlines", b"", 400, "empty"),
    ("application/x-text", b"\xff\xfe", 400, "not utf-8 at byte 0"),
    ("application/x-text; charset=base64", b"good", 415, "charset"),
    ("application/x-text; charset=utf-7", b"+2AA-", 400, "not utf-7"),
    ("text/plain; charset=raw_unicode_escape", b"\\ud800", 400, "send utf-8"),
    ("text/csv", b"good,1\n", 400, "row 1: expected one column"),
    ("text/csv", b"good\n\nbad\n", 400, "row 2: expected one column"),
    ("text/csv", b'"good\n', 400, "not CSV"),
    ("application/octet-stream", b"{}", 415, SUPPORTED),
    ("image/png", b"{}", 415, SUPPORTED),
    (None, b"{}", 415, "no content type: set Content-Type to one of " + SUPPORTED),
]


@pytest.mark.parametrize(("content_type", "body", "status", "message"), BAD)
def test_a_bad_invocation_says_what_was_expected(
    server: Served, content_type, body, status, message
):
    answer = invoke(server, body, content_type)
    assert answer.status_code == status, answer.text
    assert message in answer.json()["error"]


def test_an_unknown_target_model(server: Served):
    answer = invoke(server, b"{}", "application/json", model="nobody")
    assert answer.status_code == 404


def test_without_a_target_the_first_model_answers(server: Served):
    answer = server.client.post("/invocations", json={"instances": ["good"]})
    assert answer.json()[0]["label"] == ["__label__pos"]


def test_boto3_gets_what_the_reference_answers(runtime):
    answer = runtime.invoke_endpoint(
        EndpointName="sentiment",
        ContentType="application/json",
        Body=json.dumps({"instances": ["good movie"], "configuration": {"k": 2}}),
    )
    (prediction,) = json.loads(answer["Body"].read())
    assert answer["ContentType"] == "application/json"
    assert prediction["label"][0] == "__label__pos"

    answer = runtime.invoke_endpoint(
        EndpointName="vectors",
        ContentType="application/json",
        Body=json.dumps({"instances": ["king"]}),
    )
    assert json.loads(answer["Body"].read()) == [{"vector": [1.0, 0.1, 0, 0], "word": "king"}]

    answer = runtime.invoke_endpoint(
        EndpointName="sentiment",
        ContentType="application/x-text",
        Accept="application/json;verbose",
        Body=b"bad movie",
    )
    assert json.loads(answer["Body"].read())["predicted_label"] == "__label__neg"

    answer = runtime.invoke_endpoint(
        EndpointName="sentiment",
        ContentType="application/jsonlines",
        Body=b'{"source": "good", "k": 2}\n{"source": "bad"}',
    )
    assert len(answer["Body"].read().splitlines()) == 2


def test_boto3_raises_model_error_with_our_message(runtime):
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        runtime.invoke_endpoint(
            EndpointName="sentiment",
            ContentType="application/json",
            Body=json.dumps(json.dumps({"instances": ["good"]})),
        )
    assert caught.value.response["OriginalStatusCode"] == 400
    assert "encoded twice" in caught.value.response["OriginalMessage"]
    assert "encoded twice" in str(caught.value)
    # boto3 sends application/octet-stream when the caller names no type.
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        runtime.invoke_endpoint(EndpointName="sentiment", Body=b'{"instances": ["good"]}')
    assert caught.value.response["OriginalStatusCode"] == 415
    assert SUPPORTED in str(caught.value)


def test_boto3_raises_validation_error_for_an_unknown_endpoint(runtime):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        runtime.invoke_endpoint(EndpointName="nobody", ContentType="application/json", Body=b"{}")
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert "sentiment" in str(caught.value)
