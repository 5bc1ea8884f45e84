"""The Open Inference protocol by Triton's client library, over REST and gRPC."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from serving.processes import Served


@pytest.mark.skipif(
    importlib.util.find_spec("tritonclient") is None,
    reason="Triton's client is not installed (pip install 'tritonclient[grpc,http]')",
)
def test_tritons_client(server: Served):
    script = Path(__file__).with_name("triton_client.py")
    command = [sys.executable, script, str(server.port), str(server.grpc_port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 12
