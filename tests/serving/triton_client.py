"""Asks a server by Triton's client library: python triton_client.py HTTP_PORT GRPC_PORT.

A process of its own, since this library and KServe's register the same protobuf messages.
"""

import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http


def texts(library, *content):
    tensor = library.InferInput("text", [len(content)], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode() for text in content], np.object_))
    return [tensor]


def check_metadata(library, client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("sentiment")
    metadata = client.get_model_metadata("vectors")
    if library is tritonclient.http:
        assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
        assert metadata["outputs"][0]["shape"] == [-1, 4]
        assert len(metadata["versions"]) == 1
    else:
        assert len(metadata.versions) == 1
        assert metadata.inputs[0].datatype == "BYTES"
        assert list(metadata.outputs[0].shape) == [-1, 4]


def check_labels(library, client):
    outputs = [library.InferRequestedOutput(name) for name in ("label", "prob")]
    asked = texts(library, "good", "bad")
    answer = client.infer("sentiment", asked, outputs=outputs, parameters={"k": 2})
    assert answer.as_numpy("label").shape == (2, 2)
    assert answer.as_numpy("label")[:, 0].tolist() == [b"__label__pos", b"__label__neg"]
    probabilities = answer.as_numpy("prob")
    assert probabilities.dtype == np.float32
    assert (probabilities[:, 0] > probabilities[:, 1]).all()


def check_threshold(library, client):
    answer = client.infer(
        "sentiment", texts(library, "good"), parameters={"k": 3, "threshold": 0.4}
    )
    assert answer.as_numpy("label").tolist() == [[b"__label__pos", b"", b""]]


def check_vectors(library, client):
    answer = client.infer("vectors", texts(library, "king", "nobody"), request_id="7")
    expected = np.array([[1, 0.1, 0, 0], [0, 0, 0, 0]], np.float32)
    np.testing.assert_array_equal(answer.as_numpy("vector"), expected)


def check_compression(library, client):
    name = (
        "request_compression_algorithm" if library is tritonclient.http else "compression_algorithm"
    )
    answer = client.infer("vectors", texts(library, *["king"] * 500), **{name: "gzip"})
    assert answer.as_numpy("vector").shape == (500, 4)


def check_errors(library, client):
    for model, parameters, message in (
        ("nobody", {}, "no such model"),
        ("sentiment", {"k": 0}, "k: expected an integer"),
    ):
        try:
            client.infer(model, texts(library, "good"), parameters=parameters)
        except library.InferenceServerException as error:
            assert message in str(error)
        else:
            raise AssertionError(f"no error: {message}")


for library, port in zip((tritonclient.http, tritonclient.grpc), sys.argv[1:], strict=True):
    client = library.InferenceServerClient(f"127.0.0.1:{port}")
    for check in (
        check_metadata,
        check_labels,
        check_threshold,
        check_vectors,
        check_compression,
        check_errors,
    ):
        check(library, client)
        print(library.__name__, check.__name__)
    client.close()
