"""Fetch KServe's resource definitions: `python tests/manifests/fetch_crds.py`.

Needs Go and the Go module proxy, which holds KServe's repository by version. Writes .cache/crds/*.yaml. With them the manifests are
validated against KServe's own schemas; without them against the classes of the installed `kserve` package alone.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

# The last version that the proxy holds of the 0.2x line.
MODULE = "github.com/kserve/kserve@v0.20.0"
NAMES = ("inferenceservices", "servingruntimes", "clusterservingruntimes")
TARGET = Path(__file__).resolve().parents[2] / ".cache" / "crds"

if __name__ == "__main__":
    if shutil.which("go") is None:
        sys.exit("error: Go is not installed")
    command = ["go", "mod", "download", "-json", MODULE]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    source = Path(json.loads(done.stdout)["Dir"], "config", "crd", "full")
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        print(shutil.copyfile(source / f"serving.kserve.io_{name}.yaml", TARGET / f"{name}.yaml"))
