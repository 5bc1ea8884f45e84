"""The smoke test: ask an endpoint what its clients will ask, and look at the answer."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from typing import Any

import orjson
import urllib3

from kftext.errors import DeploymentError

__all__ = ["API_KEY_VARIABLE", "probe"]

API_KEY_VARIABLE = "KFTEXT_API_KEY"
"""Environment variable: the key that the endpoint's servers ask for, as for the servers themselves."""

# Answers that a router gives for a moment after it was told of new pods.
_PASSING = (404, 502, 503, 504)
_INTERVAL = 1.0


def probe(
    url: str, name: str, texts: Sequence[str], *, expected_label: str = "", timeout: float = 60.0
) -> list[dict[str, Any]]:
    """Ask for predictions over KServe's V1 protocol.

    Args:
        url: of the endpoint, without a path.
        name: of the model.
        texts: what to ask.
        expected_label: label that the first text must get; "" for any.
        timeout: seconds in which routes may still be on their way.

    Returns:
        The predictions.

    Raises:
        DeploymentError: no answer, an error, or an answer that is none to these texts.
    """
    target = f"{url.rstrip('/')}/v1/models/{name}:predict"
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get(API_KEY_VARIABLE):
        headers["X-API-Key"] = key
    body = orjson.dumps({"instances": list(texts)})
    end = time.monotonic() + timeout
    while True:
        problem, is_passing = "", True
        try:
            answer = urllib3.request(
                "POST", target, body=body, headers=headers, timeout=30, retries=False
            )
        except urllib3.exceptions.HTTPError as error:
            problem = f"no answer: {str(error).rpartition(': ')[2]}"
        else:
            if answer.status == 200:
                return _check(target, answer.data, texts, expected_label)
            problem = f"answered {answer.status}: {answer.data[:500].decode('utf-8', 'replace')}"
            is_passing = answer.status in _PASSING
        if not is_passing or time.monotonic() >= end:
            raise DeploymentError(f"smoke test: POST {target}: {problem}")
        time.sleep(_INTERVAL)


def _check(target: str, body: bytes, texts: Sequence[str], expected: str) -> list[dict[str, Any]]:
    def wrong(why: str) -> DeploymentError:
        return DeploymentError(
            f"smoke test: POST {target}: {why}: {body[:500].decode('utf-8', 'replace')}"
        )

    try:
        predictions = orjson.loads(body)["predictions"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise wrong("the answer holds no predictions") from None
    if not isinstance(predictions, list) or len(predictions) != len(texts):
        raise wrong(f"expected {len(texts)} predictions")
    for prediction in predictions:
        numbers = (
            prediction.get("prob", prediction.get("vector", prediction.get("embedding")))
            if isinstance(prediction, dict)
            else None
        )
        if not isinstance(numbers, list) or not all(_is_finite(number) for number in numbers):
            raise wrong("expected finite probabilities or a vector for each text")
    if expected and predictions[0].get("label", [None])[:1] != [expected]:
        raise wrong(f"expected {expected} for {texts[0]!r}")
    return predictions


def _is_finite(number: object) -> bool:
    return isinstance(number, (int, float)) and math.isfinite(number)
