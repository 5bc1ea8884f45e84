"""A real Kubernetes API server for tests, with KServe's resources defined: no nodes, no controllers.

- KUBECONFIG set: that cluster (KServe's CRDs must be installed).
- Else kube-apiserver and etcd, from PATH or .cache/bin (`python tests/deployment/build_apiserver.py`): started here. The CRDs are
  KServe's own where `python tests/manifests/fetch_crds.py` has fetched them, else ones that take any field.
- Else none: tests that need one are skipped.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CRDS = REPOSITORY / ".cache" / "crds"
TOKEN = "tests-only"
SKIPPED = (
    "no Kubernetes API server: set KUBECONFIG, or run python tests/deployment/build_apiserver.py"
)
KINDS = {
    "inferenceservices": ("InferenceService", "v1beta1"),
    "servingruntimes": ("ServingRuntime", "v1alpha1"),
}


@dataclass(frozen=True)
class ApiServer:
    """Where it is, and whether it knows KServe's own schemas."""

    kubeconfig: Path
    has_schemas: bool


def find(name: str) -> str | None:
    built = REPOSITORY / ".cache" / "bin" / name
    return str(built) if built.is_file() else shutil.which(name)


@functools.cache
def shared() -> ApiServer | None:
    """The one server of this test run."""
    if os.environ.get("KUBECONFIG"):
        return ApiServer(Path(os.environ["KUBECONFIG"]), True)
    etcd, apiserver = find("etcd"), find("kube-apiserver")
    if etcd is None or apiserver is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="kftext-apiserver-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    client, peer, port = free_port(), free_port(), free_port()
    start(
        [etcd, f"--data-dir={folder}/etcd"]
        + [
            f"--{name}=http://127.0.0.1:{client}"
            for name in ("listen-client-urls", "advertise-client-urls")
        ]
        + [f"--listen-peer-urls=http://127.0.0.1:{peer}"],
        folder / "etcd.log",
    )
    key = folder / "sa.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    (folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
    start(
        [
            apiserver,
            f"--etcd-servers=http://127.0.0.1:{client}",
            f"--secure-port={port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={folder}/certificates",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            f"--token-auth-file={folder}/tokens.csv",
            "--disable-admission-plugins=ServiceAccount",
        ],
        folder / "apiserver.log",
    )
    wait_until_ready(port, folder / "apiserver.log")
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(kubeconfig_of(port, TOKEN)))
    return ApiServer(kubeconfig, define(folder, kubeconfig))


def kubeconfig_of(port: int, token: str) -> dict[str, object]:
    cluster = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": cluster}],
        "users": [{"name": "tests", "user": {"token": token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
        "current-context": "tests",
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def start(command: list[str], log: Path) -> None:
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
    atexit.register(stop, process)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(10)


def wait_until_ready(port: int, log: Path, seconds: float = 600) -> None:
    unverified = ssl._create_unverified_context()
    request = urllib.request.Request(
        f"https://127.0.0.1:{port}/readyz", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(request, context=unverified, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"the API server is not ready:\n{log.read_text()[-2000:]}")


def define(folder: Path, kubeconfig: Path) -> bool:
    """Define KServe's kinds; return whether by its own schemas."""
    import kubernetes

    with kubernetes.config.new_client_from_config(str(kubeconfig)) as api:
        extensions = kubernetes.client.ApiextensionsV1Api(api)
        own = True
        for plural, (kind, version) in KINDS.items():
            fetched = CRDS / f"{plural}.yaml"
            own = own and fetched.is_file()
            definition = (
                yaml.safe_load(fetched.read_text())
                if fetched.is_file()
                else open_crd(plural, kind, version)
            )
            definition["spec"].pop("conversion", None)  # its webhook is KServe's controller
            extensions.create_custom_resource_definition(definition)
        for plural in KINDS:
            end = time.monotonic() + 30
            name = f"{plural}.serving.kserve.io"
            while not established(extensions.read_custom_resource_definition(name)):
                assert time.monotonic() < end, name
                time.sleep(0.1)
    return own


def established(definition: object) -> bool:
    conditions = definition.status.conditions or []  # type: ignore[attr-defined]
    return any(one.type == "Established" and one.status == "True" for one in conditions)


def open_crd(plural: str, kind: str, version: str) -> dict[str, object]:
    """A definition that takes any field."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    served = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": anything},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.serving.kserve.io"},
        "spec": {
            "group": "serving.kserve.io",
            "names": {
                "plural": plural,
                "singular": kind.lower(),
                "kind": kind,
                "listKind": f"{kind}List",
            },
            "scope": "Namespaced",
            "versions": [served],
        },
    }
