"""The models that the load benchmark asks, and the servers that serve them."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

DIM = 100
WORDS = 50_000
BUCKETS = 200_000
LABELS = 4
TEXT_WORDS = 12
DISTINCT = 64
FASTTEXT = ("classifier", "vectors", "subwords")
VECTOR_ENCODER, BERT = "vector-encoder", "bert"
LAYERS, WIDTH = 12, 768
"""The size of BERT-base."""
BERT_WORDS = (4, TEXT_WORDS)
"""Words of BERT's texts: a query or an intent, and a sentence."""
TOGETHER = 32


def words() -> list[bytes]:
    return [b"w%d" % index for index in range(WORDS)]


def write_models(folder: Path) -> dict[str, Path]:
    """Random models of the usual sizes; what they answer does not matter here, how long it takes does."""
    from kftext.models import (
        Args,
        DenseMatrix,
        Dictionary,
        FastTextModel,
        Loss,
        Model,
        write_model,
    )

    generator = np.random.default_rng(1)

    def matrix(rows: int) -> DenseMatrix:
        return DenseMatrix(generator.standard_normal((rows, DIM), dtype=np.float32) * 0.1)

    counts = np.arange(WORDS, 0, -1)
    supervised = Args(
        dim=DIM,
        loss=Loss.SOFTMAX,
        model=Model.SUPERVISED,
        bucket=BUCKETS,
        minn=0,
        maxn=0,
        word_ngrams=2,
    )
    labels = [b"__label__%d" % index for index in range(LABELS)]
    dictionary = Dictionary(supervised, words(), counts, labels, np.ones(LABELS, np.int64))
    models = {
        "classifier": FastTextModel(supervised, dictionary, matrix(WORDS + BUCKETS), matrix(LABELS))
    }
    for name, bucket in (("vectors", 0), ("subwords", BUCKETS)):
        arguments = Args(dim=DIM, bucket=bucket, minn=3 if bucket else 0, maxn=6 if bucket else 0)
        models[name] = FastTextModel(
            arguments,
            Dictionary(arguments, words(), counts),
            matrix(WORDS + bucket),
            matrix(WORDS),
        )
    paths = {}
    for name, model in models.items():
        paths[name] = folder / f"{name}.bin"
        write_model(model, paths[name])
    return paths


def write_vector_encoder(folder: Path, vectors: Path) -> Path:
    """A TensorFlow classifier whose encoder is made from word vectors; its labels are those of the other classifier."""
    from kftext.models import ModelMetadata
    from kftext.text_classification.artifact import ALGORITHM, write_classes
    from kftext.text_classification.encoder import Encoder
    from kftext.text_classification.export import save_classifier
    from kftext.text_classification.word_vector_encoder import word_vector_module

    target = folder / VECTOR_ENCODER
    target.mkdir()
    kernel = np.random.default_rng(5).standard_normal((DIM, LABELS), dtype=np.float32)
    with tempfile.TemporaryDirectory() as name:
        encoder = Encoder(word_vector_module(vectors, Path(name)))
        save_classifier(encoder, kernel, np.zeros(LABELS, np.float32), target / "1")
    write_classes(target, [f"__label__{index}" for index in range(LABELS)])
    ModelMetadata(kind="text-classifier", algorithm=ALGORITHM).write(target)
    return target


def write_bert(folder: Path) -> Path:
    """A checkpoint of BERT-base's size with random weights: how long it takes does not depend on their values."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    naive_bert = importlib.import_module("text_classification.naive_bert")
    names = [word.decode() for word in words()[:30_000]]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *names]
    config = naive_bert.CONFIG | {
        "vocab_size": len(vocabulary),
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": WIDTH // 64,
        "intermediate_size": 4 * WIDTH,
        "max_position_embeddings": 512,
    }
    target = folder / BERT
    target.mkdir()
    (target / "config.json").write_text(json.dumps(config))
    (target / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    tensors = {name: 0.02 * values for name, values in naive_bert.make_tensors(config).items()}
    naive_bert.write_safetensors(target / "model.safetensors", tensors)
    return target


def bodies(model: str, batch: int, count: int = TEXT_WORDS) -> list[bytes]:
    """Different request bodies, so that no answer comes from a cache of one text; each text of `count` words."""
    generator = np.random.default_rng(2)
    if model in ("vectors", "subwords"):
        count = 1
    # Words are drawn as in text, most from the front of the vocabulary.
    ids = np.minimum(generator.zipf(1.2, (DISTINCT, batch, count)) - 1, WORDS - 1)
    return [
        json.dumps(
            {"instances": [" ".join(f"w{index}" for index in text) for text in row]}
        ).encode()
        for row in ids
    ]


def batching_gain(folder: Path, count: int) -> tuple[float, float]:
    """Seconds that BERT takes for a text alone, and for one of `TOGETHER` in a call: the least of five times, without a server."""
    from kftext.models import load

    encoder = load(folder / BERT)
    texts = [json.loads(body)["instances"][0] for body in bodies(BERT, 1, count)]
    found = []
    for size in (1, TOGETHER):
        times = []
        for _ in range(6):
            started = time.perf_counter()
            encoder.embed(texts[:size])
            times.append(time.perf_counter() - started)
        found.append(min(times[1:]) / size)
    return found[0], found[1]


def twin_of(model: str) -> str:
    """Name of the model that does nothing and answers as many bytes."""
    return "no-classifier" if model == VECTOR_ENCODER else f"no-{model}"


def serve(arguments: argparse.Namespace) -> None:
    """A server process: each model, and for fastText's a twin that does nothing."""
    from kserve import model_server

    from kftext.models import Classifier, Prediction, WordVectors
    from kftext.serving import logs
    from kftext.serving.model import ServedModel
    from kftext.serving.options import Options
    from kftext.serving.server import Server

    class NoClassifier(Classifier):
        def predict(self, texts, k=1, threshold=0.0, *, threads=None):
            return [ANSWER] * len(texts)

        def predict_json(self, texts, k=1, threshold=0.0, *, separator=b","):
            # It writes no JSON, as no model does that somebody else brings: the server makes it from objects.
            return None

        json_job = predict_json

    class NoVectors(WordVectors):
        def vectors(self, words):
            return CONSTANT[: len(words)]

    ANSWER = Prediction(["__label__1"], [0.31234567165374756])
    CONSTANT = np.random.default_rng(3).standard_normal((1000, DIM), dtype=np.float32) * 0.1
    logs.configure()
    models = []
    for name in arguments.names.split(","):
        folder = Path(arguments.folder)
        path = folder / (f"{name}.bin" if name in FASTTEXT else name)
        models.append(ServedModel(name, path))
        if name in FASTTEXT:
            twin = ServedModel(f"no-{name}", path)
            predictor = twin.loaded.predictor
            kind = NoClassifier if isinstance(predictor, Classifier) else NoVectors
            object.__setattr__(twin.target, "predictor", kind(predictor.model))
            models.append(twin)
    flags, _ = model_server.parser.parse_known_args(
        ["--http_port", str(arguments.port), "--enable_grpc", "false"]
    )
    options = Options(
        host="127.0.0.1",
        access_log=arguments.access_log,
        max_batch_size=arguments.max_batch_size,
    )
    Server(models, options, flags).start()


def serve_kserve(arguments: argparse.Namespace) -> None:
    """KServe's own server, unchanged, with a model that does nothing."""
    import logging

    import kserve

    class Nothing(kserve.Model):
        def __init__(self):
            super().__init__("no-classifier")
            self.ready = True

        def predict(self, payload, headers=None):
            answer = {"prob": [0.31234567165374756], "label": ["__label__1"]}
            return {"predictions": [answer] * len(payload["instances"])}

    logging.disable(logging.CRITICAL)
    kserve.ModelServer(
        http_port=arguments.port, enable_grpc=False, enable_latency_logging=False
    ).start([Nothing()])
