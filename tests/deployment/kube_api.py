"""An HTTP server that answers as the Kubernetes API does for InferenceServices and Deployments, and refuses what it would refuse.

The answers have the shape of those of kube-apiserver 1.34, whose own run of the same tests (tests/deployment/apiserver.py) keeps this
server honest: wrong paths and content types, unknown fields, missing rights, stale versions and names that are taken are errors.
"""

from __future__ import annotations

import copy
import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from manifests import schemas

PLURALS = {
    ("serving.kserve.io", "v1beta1", "inferenceservices"): "InferenceService",
    ("apps", "v1", "deployments"): "Deployment",
}


class RefusedError(Exception):
    """A request that is answered with a Status."""

    def __init__(self, code: int, reason: str, message: str, name: str = "", kind: str = ""):
        super().__init__(message)
        details = {"name": name, "kind": kind} if name else {}
        self.code = code
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": details,
            "code": code,
        }


class Store:
    """Resources by (plural, namespace, name); versions as the API counts them."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.lock = threading.RLock()
        self.version = 100
        self.requests: list[tuple[str, str]] = []

    def get(self, key: tuple[str, str, str]) -> dict[str, Any]:
        if key not in self.objects:
            raise RefusedError(404, "NotFound", f'{key[0]} "{key[2]}" not found', key[2], key[0])
        return self.objects[key]

    def create(self, plural: str, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        key = (plural, namespace, body["metadata"]["name"])
        if key in self.objects:
            message = f'{plural} "{key[2]}" already exists'
            raise RefusedError(409, "AlreadyExists", message, key[2], plural)
        body["metadata"].update(uid=str(uuid.uuid4()), namespace=namespace, generation=1)
        body.pop("status", None)
        return self.put(key, body)

    def put(self, key: tuple[str, str, str], body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        written = {name: value for name, value in body.items() if name != "status"}
        if body["kind"] in schemas.GENERATED and (found := schemas.problems(written)):
            raise RefusedError(
                422, "Invalid", f"{body['kind']} is invalid: {found[0]}", key[2], key[0]
            )
        self.objects[key] = body
        return body

    def patch(
        self, key: tuple[str, str, str], changes: list[dict[str, Any]], *, status: bool
    ) -> dict[str, Any]:
        before = self.get(key)
        after = copy.deepcopy(before)
        for change in changes:
            *parents, last = change["path"].strip("/").split("/")
            place = after
            for name in parents:
                place = place[name]
            if change["op"] == "replace" and last not in place:
                raise RefusedError(422, "Invalid", f"missing path {change['path']}", key[2], key[0])
            place[last] = change["value"]
        if after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
            message = f'Operation cannot be fulfilled on {key[0]} "{key[2]}": the object has been modified'
            raise RefusedError(409, "Conflict", message, key[2], key[0])
        kept = "spec" if status else "status"
        after.pop(kept, None)
        if kept in before:
            after[kept] = before[kept]
        if after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] += 1
        return self.put(key, after)


def settings(patch: dict[str, Any], path: str = "") -> Iterator[dict[str, Any]]:
    """The fields that a merge patch sets, one by one; an object of status is set as a whole."""
    for name, value in patch.items():
        if isinstance(value, dict) and name in ("spec", "predictor"):
            yield from settings(value, f"{path}/{name}")
        else:
            yield {"op": "add", "path": f"{path}/{name}", "value": value}


@contextmanager
def kube_api(token: str, readers: str = "reads-only") -> Iterator[tuple[int, Store]]:
    """Serve on loopback over plain HTTP; the token `readers` may read and nothing else."""
    store = Store()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            store.requests.append((self.command, self.path))
            try:
                with store.lock:
                    code, answer = self._answer(body)
            except RefusedError as refused:
                code, answer = refused.code, refused.status
            content = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _answer(self, body: bytes) -> tuple[int, Any]:
            sent = self.headers.get("Authorization", "").removeprefix("Bearer ")
            if sent not in (token, readers):
                raise RefusedError(401, "Unauthorized", "Unauthorized")
            parts = self.path.split("?")[0].strip("/").split("/")
            if len(parts) not in (6, 7, 8) or parts[0] != "apis" or parts[3] != "namespaces":
                raise RefusedError(404, "NotFound", "404 page not found")
            _, group, version, _, namespace, plural, *rest = parts
            kind = PLURALS.get((group, version, plural))
            if kind is None or rest[1:] not in ([], ["status"]):
                message = "the server could not find the requested resource"
                raise RefusedError(404, "NotFound", message)
            if sent == readers and self.command != "GET":
                verb = {"POST": "create"}.get(self.command, self.command.lower())
                message = f'{plural}.{group} is forbidden: User "reader" cannot {verb} resource "{plural}"'
                raise RefusedError(403, "Forbidden", message, rest[0] if rest else "x", plural)
            key = (plural, namespace, rest[0] if rest else "")
            match self.command:
                case "GET" if rest:
                    return 200, store.get(key)
                case "GET":
                    items = [one for at, one in store.objects.items() if at[:2] == key[:2]]
                    return 200, {"kind": f"{kind}List", "items": items}
                case "POST" if not rest:
                    self._expect("application/json")
                    resource = json.loads(body)
                    if (resource["kind"], resource["apiVersion"]) != (kind, f"{group}/{version}"):
                        raise RefusedError(
                            400, "BadRequest", "the API version in the data does not match"
                        )
                    return 201, store.create(plural, namespace, resource)
                case "PATCH":
                    status = rest[1:] == ["status"]
                    return 200, store.patch(key, self._changes(json.loads(body)), status=status)
                case "DELETE":
                    store.get(key)
                    del store.objects[key]
                    return 200, {"kind": "Status", "status": "Success"}
                case _:
                    raise RefusedError(405, "MethodNotAllowed", f"{self.command} is not allowed")

        def _changes(self, body: Any) -> list[dict[str, Any]]:
            """A patch as a JSON patch; of a merge patch only what sets fields, which is all that the tests' controller does."""
            if self.headers.get("Content-Type") == "application/merge-patch+json":
                if not isinstance(body, dict):
                    raise RefusedError(400, "BadRequest", "a merge patch is an object")
                return list(settings(body))
            self._expect("application/json-patch+json")
            if not isinstance(body, list):
                raise RefusedError(400, "BadRequest", "a JSON patch is a list")
            return body

        def _expect(self, content_type: str) -> None:
            found = self.headers.get("Content-Type", "").split(";")[0]
            if found != content_type:
                message = f"the body of the request was in an unknown format: {found}"
                raise RefusedError(415, "UnsupportedMediaType", message)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _handle

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port, store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
