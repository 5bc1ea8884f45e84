"""An HTTP server that speaks the part of KFP's v2beta1 API that submitting a run needs, and records what it was sent.

The answers have the shape that the kfp 2.17 client's own generated models declare.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Recorded:
    """Where the server listens and the requests it got: (method, path, headers, body)."""

    url: str = ""
    requests: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)

    def bodies(self, method: str, path: str) -> list[Any]:
        return [
            body
            for verb, route, _, body in self.requests
            if (verb, route.split("?")[0]) == (method, path)
        ]


EXPERIMENT = {
    "experiment_id": "5f3c2c5e-7c45-4a4b-9a52-8d1c5c0f1a11",
    "display_name": "Default",
    "created_at": "2026-11-02T10:00:00Z",
    "namespace": "kubeflow",
    "storage_state": "AVAILABLE",
}
RUN = {
    "run_id": "0b9f2a1e-61c1-4a6e-a9f8-2f0e4f0c1c55",
    "experiment_id": EXPERIMENT["experiment_id"],
    "display_name": "run",
    "state": "PENDING",
    "created_at": "2026-11-02T10:00:01Z",
}


@contextmanager
def kfp_api(token: str | None = None) -> Iterator[Recorded]:
    """Serve on loopback; with a token, requests without it are answered 401 as an authenticating gateway would."""
    recorded = Recorded()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            recorded.requests.append((self.command, self.path, dict(self.headers), body))
            status, answer = self._content()
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _content(self) -> tuple[int, Any]:
            if token and self.headers.get("Authorization") != f"Bearer {token}":
                return 401, {"error": "unauthorized"}
            match self.command, self.path.split("?")[0]:
                case "GET", "/apis/v2beta1/healthz":
                    return 200, {"multi_user": False, "pipeline_store": "database"}
                case "GET", "/apis/v2beta1/experiments":
                    return 200, {"experiments": [EXPERIMENT], "total_size": 1}
                case "POST", "/apis/v2beta1/experiments":
                    return 200, EXPERIMENT
                case "POST", "/apis/v2beta1/runs":
                    return 200, RUN
                case _:
                    return 404, {"error": f"no route {self.command} {self.path}"}

        do_GET = do_POST = _answer

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    recorded.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield recorded
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
