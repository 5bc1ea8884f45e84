"""A short run of the fuzzer; `tests/benchmarks/serving_fuzz.py` is the long one."""

from __future__ import annotations

import asyncio

from benchmarks.serving_fuzz import fuzz
from serving.processes import Served


def test_mutated_requests_get_an_answer_that_is_no_500(server: Served):
    statuses = asyncio.run(fuzz(server.port, 800, seed=11))
    assert statuses[200] > 100
    assert statuses[400] > 100
    assert server.client.get("/ping").status_code == 200
    assert "Traceback" not in server.log.read_text()
