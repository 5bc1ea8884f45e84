"""Build a Kubernetes API server for the tests: `python tests/deployment/build_apiserver.py`.

Needs Go and the Go module proxy. Writes .cache/bin/kube-apiserver and .cache/bin/etcd (130 MB), which tests/deployment/apiserver.py
finds. About 10 minutes on 2 cores. Without them, and without KUBECONFIG, the tests that need a real API server are skipped.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

KUBERNETES, ETCD = "1.34.1", "3.6.5"
TARGET = Path(__file__).resolve().parents[2] / ".cache" / "bin"
PROXY = "https://proxy.golang.org"


def build(name: str, package: str, version: str, replacements: str = "", flags: str = "") -> None:
    """Build a main package of a module that has replace directives, which `go install` refuses: as a dependency."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false"}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "go.mod").write_text(f"module build\n\ngo 1.24\n\n{replacements}\n")
        subprocess.run(
            ["go", "get", f"{package}@v{version}"], cwd=folder, env=environment, check=True
        )
        command = [
            "go",
            "build",
            "-trimpath",
            f"-ldflags=-s -w {flags}",
            "-o",
            str(TARGET / name),
            package,
        ]
        subprocess.run(command, cwd=folder, env=environment, check=True)
    print(TARGET / name)


def kubernetes() -> None:
    """Kubernetes publishes the modules of its staging folder with the same version, 0 in place of 1."""
    with urllib.request.urlopen(f"{PROXY}/k8s.io/kubernetes/@v/v{KUBERNETES}.mod") as answer:
        modules = sorted(
            set(re.findall(r"(k8s\.io/[a-z-]+) => \./staging", answer.read().decode()))
        )
    staged = KUBERNETES.replace("1", "0", 1)
    major, minor, _ = KUBERNETES.split(".")
    variable = "-X k8s.io/component-base/version.git"
    build(
        "kube-apiserver",
        "k8s.io/kubernetes/cmd/kube-apiserver",
        KUBERNETES,
        f"require k8s.io/kubernetes v{KUBERNETES}\n"
        + "".join(f"replace {module} => {module} v{staged}\n" for module in modules),
        f"{variable}Version=v{KUBERNETES} {variable}Major={major} {variable}Minor={minor}",
    )


if __name__ == "__main__":
    if shutil.which("go") is None:
        sys.exit("error: Go is not installed")
    TARGET.mkdir(parents=True, exist_ok=True)
    build("etcd", "go.etcd.io/etcd/server/v3", ETCD)
    kubernetes()
