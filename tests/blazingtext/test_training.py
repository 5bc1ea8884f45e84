"""The training step: from files to a model folder, through the command line as a user calls it."""

from __future__ import annotations

import re

import numpy as np
import orjson
import pytest

from blazingtext import texts
from kftext import cli, models
from kftext.blazingtext import predict, train
from kftext.blazingtext.hyperparameters import read_hyperparameters
from kftext.blazingtext.training import TrainingRequest
from kftext.blazingtext.training import train as run_training
from kftext.blazingtext.warm_start import from_earlier_model, from_pretrained_vectors
from kftext.errors import UsageError
from kftext.models import Args, DenseMatrix, Dictionary, FastTextModel, ModelMetadata, write_model
from kftext.models.word2vec_text import read_text, write_text

WORD2VEC = ["--vector-dim", "16", "--min-count", "1", "--window_size", "3", "--threads", "1"]
SUPERVISED = ["--mode", "supervised", "--vector-dim", "8", "--min-count", "1", "--buckets", "1000"]
FAST = ["--learning-rate", "0.5", "--threads", "1"]


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(texts.corpus(3000))
    return path


@pytest.fixture
def labeled(tmp_path):
    for name, count, seed in (("train.txt", 2000, 0), ("validation.txt", 500, 1)):
        (tmp_path / name).write_text(texts.labeled(count, seed))
    return tmp_path / "train.txt", tmp_path / "validation.txt"


def run(*arguments) -> int:
    return cli.run(train.main, [str(argument) for argument in arguments])


def read(folder):
    metadata = ModelMetadata.read(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["model.json", *metadata.files.values()]
    )
    return metadata


def topic_margin(vectors: models.WordVectors) -> float:
    """Mean cosine of words of one topic, less that of words of two topics."""
    words = [[f"topic{t}word{n}" for n in range(30)] for t in range(texts.TOPICS)]
    units = [vectors.vectors(group) for group in words]
    units = [group / np.linalg.norm(group, axis=1, keepdims=True) for group in units]
    within = np.mean([(group @ group.T).mean() for group in units])
    across = np.mean([(units[0] @ group.T).mean() for group in units[1:]])
    return float(within - across)


@pytest.mark.parametrize(
    "flags",
    [
        ["--mode", "skipgram"],
        ["--mode", "cbow"],
        ["--mode", "batch_skipgram"],
        ["--mode", "skipgram", "--subwords", "True", "--buckets", "5000"],
        ["--mode", "skipgram", "--loss", "hs"],
    ],
)
def test_word_vectors(corpus, tmp_path, capsys, flags):
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("topic0word1 topic0word2 9\ntopic0word3 topic1word4 1\nshared1 nowhere 5\n")
    model_dir = tmp_path / "model"
    settings = [*WORD2VEC, "--learning_rate", "0.2", "--pairs", pairs]
    assert run("--train", corpus, "--model-dir", model_dir, *flags, *settings) == 0
    metadata = read(model_dir)
    assert metadata.kind == "word-vectors"
    assert metadata.hyperparameters["mode"] == flags[1]
    assert metadata.metrics["words"] == 33_000
    vectors = models.load(model_dir)
    assert topic_margin(vectors) > 0.25
    # The same vectors as text, most frequent word first.
    words, matrix = read_text(model_dir / "vectors.txt")
    assert words == vectors.dictionary.words
    assert words[0] == b"</s>"
    np.testing.assert_allclose(matrix, vectors.all_vectors(), rtol=1e-5, atol=1e-6)
    assert vectors.vector("topic9word9").any() == ("--subwords" in flags)
    scores = orjson.loads((model_dir / "eval.json").read_bytes())
    assert (scores["pairs.txt"]["total_pairs"], scores["pairs.txt"]["not_found"]) == (3, 1)
    assert metadata.metrics["mean_rho"] == scores["mean_rho"] >= 0.5
    curve = orjson.loads((model_dir / "learning_curve.json").read_bytes())
    assert [point["epoch"] for point in curve] == [1, 2, 3, 4, 5]
    assert curve[-1]["loss"] < curve[0]["loss"]
    # The reference's log, which tuning reads.
    output = capsys.readouterr().out
    for line in (
        r"^Read 33000 words$",
        rf"^Number of words:  {len(words)}$",
        r"^Alpha: 0\.0000  Progress: 100\.00%  Million Words/sec: \d+\.\d\d$",
        r"^Average throughput in Million words/sec: \d+\.\d\d$",
        r"^Total training time in seconds: \d+\.\d\d$",
        rf"^#mean_rho: {scores['mean_rho']:.4f}$",
    ):
        assert re.search(line, output, re.MULTILINE), line


def test_one_thread_repeats_and_the_seed_matters(corpus, tmp_path):
    def vectors(name: str, seed: int) -> bytes:
        flags = ["--mode", "skipgram", "--epochs", "1", *WORD2VEC, "--seed", seed]
        assert run("--train", corpus, "--model-dir", tmp_path / name, *flags) == 0
        return (tmp_path / name / "vectors.bin").read_bytes()

    assert vectors("a", 1) == vectors("b", 1) != vectors("c", 2)


def test_evaluation_may_be_left_out(corpus, tmp_path):
    flags = ["--mode", "cbow", "--evaluation", "False", "--epochs", "1", *WORD2VEC]
    assert run("--train", corpus, "--model-dir", tmp_path / "m", *flags) == 0
    assert "mean_rho" not in read(tmp_path / "m").metrics
    assert not (tmp_path / "m" / "eval.json").exists()


@pytest.mark.parametrize("loss", ["softmax", "hs", "ns", "ova"])
def test_classifier(labeled, tmp_path, capsys, loss):
    training, validation = labeled
    model_dir = tmp_path / "model"
    paths = ["--train", training, "--validation", validation, "--model-dir", model_dir]
    assert run(*paths, *SUPERVISED, *FAST, "--loss", loss) == 0
    metadata = read(model_dir)
    assert metadata.kind == "text-classifier"
    output = capsys.readouterr().out
    for name, value in (
        ("#train_accuracy", f"{metadata.metrics['train_accuracy']:.4f}"),
        ("Number of train examples", "2000"),
        ("#validation_accuracy", f"{metadata.metrics['validation_accuracy']:.4f}"),
    ):
        assert f"{name}: {value}\n" in output
    # What training says of its accuracy is what the written model does.
    lines = validation.read_text().splitlines()
    predictions = models.load(model_dir).predict(lines)
    right = [p.labels[0] in line.split() for p, line in zip(predictions, lines, strict=True)]
    assert np.mean(right) == metadata.metrics["validation_accuracy"] > 0.95
    probabilities = models.load(model_dir).predict(lines[:1], k=-1)[0].probabilities
    if loss in ("softmax", "hs"):
        assert sum(probabilities) == pytest.approx(1, abs=1e-3)
    elif loss == "ova":  # each label has a probability of its own
        assert sum(probabilities) != pytest.approx(1, abs=1e-3)


def test_early_stopping_keeps_the_best_epoch(labeled, tmp_path):
    training, validation = labeled
    # Labels that can't be learnt: accuracy goes up and down, and does not rise for long.
    noise = np.random.default_rng(0)
    for path in labeled:
        lines = [line.split(" ", 1)[1] for line in path.read_text().splitlines()]
        path.write_text("".join(f"__label__{noise.integers(2)} {line}\n" for line in lines))
    model_dir = tmp_path / "model"
    paths = ["--train", training, "--validation", validation, "--model-dir", model_dir]
    stop = ["--early-stopping", "True", "--min-epochs", "2", "--patience", "2", "--epochs", "50"]
    assert run(*paths, *SUPERVISED, *FAST, *stop) == 0
    metrics = read(model_dir).metrics
    curve = orjson.loads((model_dir / "learning_curve.json").read_bytes())
    accuracies = {point["epoch"]: point["validation_accuracy"] for point in curve}
    watched = {epoch: value for epoch, value in accuracies.items() if value is not None}
    best = max(watched, key=watched.get)
    assert len(curve) == best + 2 < 50
    assert metrics["best_epoch"] == best
    assert metrics["validation_accuracy"] == watched[best]


def test_predict_command(labeled, tmp_path, capsysbinary):
    flags = [*SUPERVISED, *FAST]
    assert run("--train", labeled[0], "--model-dir", tmp_path / "m", *flags) == 0
    capsysbinary.readouterr()
    arguments = ["--model", str(tmp_path / "m"), "--k", "2", str(labeled[1])]
    assert cli.run(predict.main, arguments) == 0
    answers = [orjson.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    lines = labeled[1].read_text().splitlines()
    expected = models.load(tmp_path / "m").predict(lines, k=2)
    assert [answer["label"] for answer in answers] == [p.labels for p in expected]
    np.testing.assert_allclose(
        [answer["prob"] for answer in answers], [p.probabilities for p in expected], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("flags", "content", "code", "message"),
    [
        (["--mode", "skipgram", "--epochs", "0"], b"a b\n" * 9, 2, "epochs='0'"),
        (["--mode", "skipgram"], b"", 1, "corpus.txt: the data hold no word"),
        (["--mode", "skipgram"], b"a b\n", 1, "no word is seen min_count=5 times or more"),
        (["--mode", "supervised"], b"a b\n" * 9, 1, "corpus.txt: no label in the data"),
        (["--mode", "supervised", "--early-stopping", "1"], b"x", 2, "needs validation data"),
        (["--mode", "skipgram", "--initial-model", "nowhere"], b"x", 1, "nowhere"),
        (
            ["--mode", "supervised", "--format", "manifest"],
            b'{"source": "a", "label": 1}\n{"label": 1}\n',
            1,
            "corpus.txt:2: the attribute 'source' is missing",
        ),
        (
            ["--mode", "skipgram", "--vector-dim", "2000000000"],
            b"a b\n" * 9,
            1,
            "lower buckets or vector_dim",
        ),
    ],
)
def test_a_failed_run_leaves_nothing(tmp_path, capsys, flags, content, code, message):
    path, model_dir = tmp_path / "corpus.txt", tmp_path / "models" / "model"
    path.write_bytes(content)
    assert run("--train", path, "--model-dir", model_dir, *flags) == code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not model_dir.exists()
    # And a model that was there stays as it was.
    model_dir.mkdir(parents=True)
    (model_dir / "model.bin").write_bytes(b"earlier")
    assert run("--train", path, "--model-dir", model_dir, *flags) == code
    assert [p.name for p in model_dir.parent.rglob("*")] == ["model", "model.bin"]


def test_a_line_of_ten_million_tokens(tmp_path):
    path = tmp_path / "train.txt"
    path.write_bytes(b"__label__x " + b"a b " * 5_000_000 + b"\n" + b"__label__y c d\n" * 9)
    flags = [*SUPERVISED, "--epochs", "1", "--threads", "1"]
    assert run("--train", path, "--model-dir", tmp_path / "m", *flags) == 0
    assert read(tmp_path / "m").metrics["train_examples"] == 10
    dictionary = models.load(tmp_path / "m").dictionary
    assert dictionary.words[:2] == [b"a", b"b"]
    assert dictionary.counts[:2].tolist() == [5_000_000, 5_000_000]


def test_words_that_are_not_utf8(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_bytes(b"caf\xe9 latte\0mocha \xff\xfe caf\xe9\n" * 20)
    flags = ["--mode", "skipgram", *WORD2VEC]
    assert run("--train", path, "--model-dir", tmp_path / "m", *flags) == 0
    words, _ = read_text(tmp_path / "m" / "vectors.txt")
    assert set(words) == {b"</s>", b"caf\xe9", b"latte", b"mocha", b"\xff\xfe"}
    assert set(models.load(tmp_path / "m").dictionary.words) == set(words)


def request(path, model_dir, **changes) -> TrainingRequest:
    given = {"mode": "supervised", "vector_dim": 8, "min_count": 1, "buckets": 1000, "epochs": 2}
    given |= changes.pop("hyperparameters", {})
    changes = {"threads": 1, **changes}
    return TrainingRequest([str(path)], str(model_dir), read_hyperparameters(given), **changes)


def test_training_goes_on_from_an_earlier_model(labeled, tmp_path):
    training, validation = labeled
    first, second = tmp_path / "first", tmp_path / "second"
    run_training(request(training, first, hyperparameters={"learning_rate": 0.5, "epochs": 5}))
    more = tmp_path / "more.txt"
    more.write_text("__label__new brand new words\n" * 3 + validation.read_text())
    # With a learning rate next to nothing, what was known stays as it was, wherever its row is now.
    still = {"learning_rate": 1e-12, "epochs": 1}
    run_training(request(more, second, hyperparameters=still, initial_model=str(first)))
    before, after = models.load(first), models.load(second)
    assert set(after.dictionary.labels) - set(before.dictionary.labels) == {b"__label__new"}
    assert {b"brand", b"words"} == set(after.dictionary.words) - {
        *before.dictionary.words,
        b"new",
    }
    for word in before.dictionary.words:
        np.testing.assert_allclose(
            after.model.input.rows([after.dictionary.word_id(word)]),
            before.model.input.rows([before.dictionary.word_id(word)]),
            atol=1e-6,
        )
    lines = validation.read_text().splitlines()
    assert [p.labels for p in after.predict(lines)] == [p.labels for p in before.predict(lines)]
    counts = dict(zip(after.dictionary.labels, after.dictionary.label_counts, strict=True))
    assert counts[b"__label__new"] == 3
    assert counts[b"__label__0"] == sum(
        path.read_text().count("__label__0 ") for path in (training, validation)
    )


def test_an_earlier_model_must_fit(labeled, tmp_path):
    run_training(request(labeled[0], tmp_path / "m"))
    for changes, message in (
        ({"vector_dim": 9}, "vector_dim=9: .* trained with 8"),
        ({"buckets": 999}, "buckets=999"),
        ({"loss": "hs"}, "loss=hs"),
    ):
        given = {"mode": "supervised", "vector_dim": 8, "buckets": 1000, **changes}
        with pytest.raises(UsageError, match=message):
            from_earlier_model(str(tmp_path / "m"), read_hyperparameters(given))
    with pytest.raises(UsageError, match="can't begin mode=skipgram"):
        from_earlier_model(str(tmp_path / "m"), read_hyperparameters({"mode": "skipgram"}))


def test_word_vectors_go_on_with_new_words(corpus, tmp_path):
    shape = {"mode": "skipgram", "subwords": True, "buckets": 500, "epochs": 1, "min_count": 5}
    still = {**shape, "learning_rate": 1e-12}
    run_training(request(corpus, tmp_path / "first", hyperparameters=shape))
    more = tmp_path / "more.txt"
    more.write_text("entirely new words stand here\n" * 9)
    run_training(
        request(
            more, tmp_path / "second", hyperparameters=still, initial_model=str(tmp_path / "first")
        )
    )
    before, after = models.load(tmp_path / "first"), models.load(tmp_path / "second")
    assert "entirely" not in before
    assert "entirely" in after
    # Words and n-grams alike: a word that neither knows is still built from the same n-grams.
    for word in ("shared1", "topic0word1", "topicless"):
        np.testing.assert_allclose(after.vector(word), before.vector(word), atol=1e-6)


def test_pretrained_vectors(labeled, tmp_path):
    rng = np.random.default_rng(0)
    words = [b"topic0word0", b"shared3", b"never-seen"]
    matrix = rng.normal(size=(3, 8)).astype(np.float32)
    write_text(tmp_path / "vectors.vec", words, matrix)
    still = {"learning_rate": 1e-12, "epochs": 1, "word_ngrams": 1}
    vectors = str(tmp_path / "vectors.vec")
    changes = {"hyperparameters": still, "pretrained_vectors": vectors}
    run_training(request(labeled[0], tmp_path / "m", **changes))
    model = models.load(tmp_path / "m")
    for word, vector in zip(words, matrix, strict=True):
        row = model.model.input.rows([model.dictionary.word_id(word)])[0]
        np.testing.assert_allclose(row, vector, atol=1e-6)
    changes["hyperparameters"] = {**still, "vector_dim": 9}
    with pytest.raises(UsageError, match=r"vector_dim=9: the pretrained vectors of .* have 8"):
        run_training(request(labeled[0], tmp_path / "n", **changes))
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize("buckets", [0, 50])
def test_pretrained_vectors_of_a_binary(labeled, tmp_path, buckets):
    """What a word's n-grams tell is part of its vector."""
    arguments = Args(dim=8, bucket=buckets, minn=2, maxn=3 if buckets else 0)
    words = [b"topic0word0", b"never-seen"]
    rows = np.random.default_rng(0).normal(size=(2 + buckets, 8)).astype(np.float32)
    dictionary = Dictionary(arguments, words, np.array([2, 1]))
    nothing = DenseMatrix(np.zeros((2, 8), np.float32))
    (tmp_path / "vectors").mkdir()
    binary = tmp_path / "vectors" / "vectors.bin"
    write_model(FastTextModel(arguments, dictionary, DenseMatrix(rows), nothing), binary)
    expected = models.load(binary).all_vectors()
    assert (expected != rows[:2]).any() == (buckets > 0)
    for path in (binary, binary.parent):
        start = from_pretrained_vectors(str(path), 8)
        assert start.vocabulary.words == words
        np.testing.assert_array_equal(start.input, expected)
    with pytest.raises(UsageError, match="vector_dim=9"):
        from_pretrained_vectors(str(binary), 9)


def test_a_classifier_is_no_pretrained_vectors(labeled, tmp_path):
    run_training(request(labeled[0], tmp_path / "m"))
    changes = {"pretrained_vectors": str(tmp_path / "m")}
    with pytest.raises(UsageError, match="is a text classifier: expected word vectors"):
        run_training(request(labeled[0], tmp_path / "n", **changes))


def test_ids_in_the_work_folder_train_the_same_classifier(labeled, tmp_path):
    work_dir = str(tmp_path / "work")
    run_training(request(labeled[0], tmp_path / "a"))
    run_training(request(labeled[0], tmp_path / "b", memory_limit=0, work_dir=work_dir))
    assert (tmp_path / "a/model.bin").read_bytes() == (tmp_path / "b/model.bin").read_bytes()
    assert list((tmp_path / "work").iterdir()) == []


def test_manifest(labeled, tmp_path):
    manifest = tmp_path / "train.jsonl"
    with manifest.open("wb") as file:
        for topic, text in texts.sentences(2000):
            file.write(orjson.dumps({"body": text, "class": [topic]}) + b"\n")
    flags = [*SUPERVISED, *FAST]
    names = ["--format", "manifest", "--source-attribute", "body", "--label-attribute", "class"]
    assert run("--train", manifest, "--model-dir", tmp_path / "a", *flags, *names) == 0
    assert run("--train", labeled[0], "--model-dir", tmp_path / "b", *flags) == 0
    # The same examples give the same model, bit for bit.
    assert (tmp_path / "a/model.bin").read_bytes() == (tmp_path / "b/model.bin").read_bytes()


def test_flags_win_over_the_file(corpus, tmp_path):
    (tmp_path / "h.json").write_text('{"mode": "cbow", "epochs": "1", "vector_dim": 9}')
    flags = ["--hyperparameters", tmp_path / "h.json", "--vector_dim", "7", "--min-count", "1"]
    assert run("--train", corpus, "--model-dir", tmp_path / "m", *flags) == 0
    hyperparameters = read(tmp_path / "m").hyperparameters
    assert (hyperparameters["mode"], hyperparameters["vector_dim"]) == ("cbow", 7)


def test_cooking(data_dir, tmp_path):
    """Real text with several labels a line."""
    folder = data_dir / "cooking"
    flags = ["--mode", "supervised", "--min-count", "1", "--learning-rate", "1.0", "--epochs", "10"]
    shape = ["--vector-dim", "20", "--buckets", "50000", "--threads", "2"]
    paths = ["--validation", folder / "cooking.valid.txt", "--model-dir", tmp_path / "m"]
    assert run("--train", folder / "cooking.train.txt", *paths, *flags, *shape) == 0
    assert read(tmp_path / "m").metrics["validation_accuracy"] > 0.54
