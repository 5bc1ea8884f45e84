"""One object of 5 GB up to a real MinIO server and down again, beside boto3's transfer manager: memory and rate.

    python tests/benchmarks/storage_large.py [--gigabytes 5] [--folder /tmp]        15 GB of disk, removed at the end

Each transfer is a process of its own; its peak resident memory is printed beside what it held before the transfer. `cut` goes through
a proxy that closes the connection once in the middle. The content's SHA-256 is compared after each. Needs .cache/bin/minio
(`make minio`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fixtures_s3 import CuttingProxy, S3Server, find_minio
from kftext import storage

BLOCK = 1 << 20
KEY = "large"
JOBS = (
    ("upload", "kftext", "a file: storage.upload"),
    ("write", "kftext", "a stream of unknown length: storage.open_writer"),
    ("upload", "boto3", "a file: upload_file"),
    ("read", "kftext", "a stream: storage.open_reader"),
    ("download", "kftext", "a file: storage.download"),
    ("download", "boto3", "a file: download_file"),
    ("write cut", "kftext", "the same, cut once"),
    ("read cut", "kftext", "the same, cut once"),
)


def peak_memory() -> int:
    """VmHWM, in bytes: ru_maxrss starts at what the parent held when it forked."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def boto3_client():
    import boto3

    return boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])


def transfer(job: str, who: str, file: Path, target: Path) -> str:
    """Do one transfer; return the SHA-256 of what came down, "" for what went up."""
    uri = f"s3://bucket/{KEY}"
    match who, job.split()[0]:
        case "kftext", "upload":
            storage.upload(file, uri)
        case "kftext", "write":
            with file.open("rb") as source, storage.open_writer(uri) as writer:
                while piece := source.read(BLOCK):
                    writer.write(piece)
        case "kftext", "read":
            digest = hashlib.sha256()
            with storage.open_reader(uri) as reader:
                while piece := reader.read(BLOCK):
                    digest.update(piece)
            return digest.hexdigest()
        case "kftext", "download":
            storage.download(uri, target)
            return "file"
        case "boto3", "upload":
            boto3_client().upload_file(str(file), "bucket", KEY)
        case "boto3", "download":
            boto3_client().download_file("bucket", KEY, str(target))
            return "file"
    return ""


def child(job: str, who: str, file: Path, target: Path) -> None:
    """Warm up, so that imports and pools are loaded before memory is counted; then transfer."""
    if who == "kftext":
        with storage.open_writer("s3://bucket/warm-up") as writer:
            writer.write(b"x")
    else:
        boto3_client().head_bucket(Bucket="bucket")
    before, start = peak_memory(), time.monotonic()
    digest = transfer(job, who, file, target)
    print(json.dumps([before, peak_memory(), time.monotonic() - start, digest]))


def make_file(file: Path, size: int) -> None:
    with file.open("wb") as stream:
        for number in range(size // BLOCK):
            stream.write(hashlib.shake_128(number.to_bytes(8, "big")).digest(4096) * 256)


def run(folder: Path, gigabytes: float) -> None:
    server = S3Server("minio", folder)
    file, target = folder / "file", folder / "came-down"
    make_file(file, int(gigabytes * 1e9))
    size, expected = file.stat().st_size, sha256(file)
    print(f"{size:,} bytes, MinIO on loopback\n")
    print(f"{'transfer':11} {'by':7} {'MB/s':>6} {'peak RSS':>9} {'before':>8}  what")
    server.start()
    try:
        server.boto3.create_bucket(Bucket="bucket")
        for job, who, what in JOBS:
            cuts = [size // 3] if job.endswith("cut") else []
            direction = "up" if job.startswith("write") else "down"
            with closing(CuttingProxy(server.port, cuts, direction)) as proxy:
                port = proxy.port if cuts else server.port
                environment = {
                    **os.environ,
                    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                    "AWS_ACCESS_KEY_ID": server.access_key,
                    "AWS_SECRET_ACCESS_KEY": server.secret_key,
                    "AWS_REGION": "us-east-1",
                }
                command = [sys.executable, __file__, "--child", job, who, str(file), str(target)]
                done = subprocess.run(command, env=environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            before, peak, seconds, digest = json.loads(done.stdout.splitlines()[-1])
            if digest == "file":
                digest = sha256(target)
                target.unlink()
            assert digest in ("", expected), "other bytes came down than went up"
            assert server.boto3.head_object(Bucket="bucket", Key=KEY)["ContentLength"] == size
            print(
                f"{job:11} {who:7} {size / seconds / 1e6:6.0f} {peak / 1e6:6.0f} MB {before / 1e6:5.0f} MB  {what}",
                flush=True,
            )
    finally:
        server.kill()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--folder", help="where 15 GB fit (the system's temporary folder)")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        job, who, file, target = options.child
        child(job, who, Path(file), Path(target))
        return
    if find_minio() is None:
        sys.exit("error: no MinIO server: build it with `make minio`")
    with tempfile.TemporaryDirectory(prefix="kftext-", dir=options.folder) as folder:
        run(Path(folder), options.gigabytes)


if __name__ == "__main__":
    main()
