"""Training with everything in a bucket, as a pod without a disk of its own does."""

from __future__ import annotations

import gzip

import orjson

from blazingtext import texts
from kftext import cli, models, storage
from kftext.blazingtext import train


def test_data_model_and_checkpoints_in_a_bucket(s3, tmp_path, capsys):
    content = texts.corpus(2000).encode()
    for name, part in (("corpus/1.txt", content[:70_000]), ("corpus/2.txt.gz", content[70_000:])):
        with storage.open_writer(s3.uri(name)) as stream:
            stream.write(gzip.compress(part) if name.endswith(".gz") else part)
    (tmp_path / "corpus.txt").write_bytes(content[:70_000] + b"\n" + content[70_000:])
    flags = [
        "--mode",
        "skipgram",
        "--vector-dim",
        "8",
        "--min-count",
        "1",
        "--threads",
        "1",
        "--evaluation",
        "0",
    ]
    remote = ["--train", s3.uri("corpus"), "--model-dir", s3.uri("model")]
    checkpoint = ["--checkpoint", s3.uri("checkpoint"), "--checkpoint-epochs", "2"]
    assert cli.run(train.main, [*remote, *checkpoint, *flags]) == 0
    storage.download(s3.uri("model"), tmp_path / "model")
    assert "shared1" in models.load(tmp_path / "model")
    with storage.open_reader(s3.uri("checkpoint/checkpoint.json")) as stream:
        assert orjson.loads(stream.read())["finished"]
    # A later run goes on from the model in the bucket.
    more = ["--train", s3.uri("corpus/1.txt"), "--model-dir", str(tmp_path / "more")]
    earlier = ["--initial-model", s3.uri("model"), "--epochs", "1"]
    assert cli.run(train.main, [*more, *earlier, *flags]) == 0
    assert len(models.load(tmp_path / "more").words) == len(models.load(tmp_path / "model").words)
    # What is not there is one clear message.
    assert cli.run(train.main, ["--train", s3.uri("nothing"), "--model-dir", "x", *flags]) == 1
    assert "nothing" in capsys.readouterr().err.splitlines()[-1]
