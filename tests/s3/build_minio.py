"""Build MinIO's server for the S3 tests: `python tests/s3/build_minio.py`.

Needs Go and the Go module proxy. Writes .cache/bin/minio (150 MB), which tests/fixtures_s3.py finds. About 3 minutes on 2
cores, 1.7 GB of Go modules. Without it the same tests run on moto's server alone.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

# MinIO's releases carry dates, which Go's version rules don't take: this is the commit of the last one, as Go writes it.
# `go install` wants a main module without replace directives, which this one is.
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"
TARGET = Path(__file__).resolve().parents[2] / ".cache" / "bin"

if __name__ == "__main__":
    go = shutil.which("go")
    if go is None:
        sys.exit("error: Go is not installed: the S3 tests then run on moto's server alone")
    TARGET.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [go, "install", f"github.com/minio/minio@{VERSION}"],
        env={**os.environ, "GOBIN": str(TARGET)},
        check=True,
    )
    print(TARGET / "minio")
