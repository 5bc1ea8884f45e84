"""`kftext.fasttext` beside the real package and its command: same answers to the same questions."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from kftext import fasttext
from kftext.fasttext.__main__ import main
from kftext.models import Loss, Model, write_model
from models.making import LABELS, WORDS, make_model
from oracle import answer_kinds, texts

pytestmark = pytest.mark.oracle


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_model(make_model(word_ngrams=2, subwords=(2, 3)), folder / "classifier.bin")
    write_model(make_model(loss=Loss.HS), folder / "tree.bin")
    write_model(make_model(Model.SKIPGRAM, Loss.NS, subwords=(3, 4)), folder / "vectors.bin")
    for name, origin in (("odd.bin", "tree.bin"), ("odd_vectors.bin", "vectors.bin")):
        data = (folder / origin).read_bytes()
        data = data.replace(b"__label__neg", b"__label__n\xffg").replace(b"movie", b"mo\xfeie")
        (folder / name).write_bytes(data)
    lines = [f"{LABELS[i % 4]} {text}" for i, text in enumerate(texts.queries())]
    lines += [f"__label__pos __label__neg {' '.join(WORDS[i + 1 :])}" for i in range(8)]
    lines += ["", "no label", "__label__unknown the movie"]
    # Where a line says "</s>" itself, what follows is another line.
    lines += [
        "__label__pos the </s> __label__neg bad",
        "</s>",
        "a</s> </s>b </s></s> \t</s>\t",
        "</s> </s> x",
    ]
    (folder / "test.txt").write_text("\n".join(lines) + "\n")
    (folder / "unfinished.txt").write_text("the movie was good\nbad movie")
    (folder / "unfinished2.txt").write_text("the </s> movie was\nbad </s> movie </s>")
    return folder


@pytest.mark.parametrize("model", ["classifier.bin", "tree.bin"])
@pytest.mark.parametrize(("k", "threshold"), [(1, 0.0), (3, 0.0), (-1, 0.2)])
def test_measures(oracle, folder, model, k, threshold):
    ours, data = fasttext.load_model(folder / model), folder / "test.txt"
    expected = oracle.test(path=folder / model, data=data, k=k, threshold=threshold)
    np.testing.assert_allclose(ours.test(data, k, threshold), expected)
    by_label = oracle.test_label(path=folder / model, data=data, k=k, threshold=threshold)
    for label, scores in ours.test_label(data, k, threshold).items():
        for name, value in scores.items():
            np.testing.assert_equal(round(value, 9), round(by_label[label][name], 9))


def test_curves(oracle, folder):
    path, data = folder / "classifier.bin", folder / "test.txt"
    meter = fasttext.load_model(path).get_meter(data)
    for label in (None, *LABELS):
        expected = oracle.curve(path=path, data=data, label=label)
        np.testing.assert_allclose(meter.precision_recall_curve(label), expected, atol=1e-9)


@pytest.mark.parametrize("label", LABELS)
def test_scores(oracle, folder, label):
    path, data = folder / "classifier.bin", folder / "test.txt"
    meter = fasttext.load_model(path).get_meter(data)
    for share in (0.1, 0.5, 0.9):
        pairs, *others = oracle.scores(path=path, data=data, label=label, share=share)
        found = sorted(zip(*(v.tolist() for v in meter.score_vs_true(label)), strict=True))
        np.testing.assert_allclose(found, pairs, atol=1e-6)
        ours = [
            number
            for of in (None, label)
            for number in (
                meter.precision_at_recall(share, of),
                meter.recall_at_precision(share, of),
            )
        ]
        np.testing.assert_allclose(ours, others, atol=1e-9)


@pytest.mark.parametrize("model", ["classifier.bin", "vectors.bin", "odd.bin", "odd_vectors.bin"])
@pytest.mark.parametrize("errors", ["strict", "replace"])
def test_kinds_of_answers(oracle, folder, model, errors):
    """What each method returns and raises, also where a label or a word is no UTF-8."""
    for text in ("the movie was good", "überaus 映画", ""):
        expected = oracle.kinds(path=folder / model, text=text, errors=errors)
        found = answer_kinds.kinds(fasttext.load_model(folder / model), text, errors)
        if "vectors" in model:
            # The original predicts no text with word vectors, and forgets `on_unicode_error` for their labels.
            del expected["predict none"], found["predict none"], expected["labels"], found["labels"]
        assert json.loads(json.dumps(found)) == expected


def test_util(oracle):
    predictions, labels = [["a", "b"], ["a"], []], [["b"], ["b", "c"], ["a"]]
    expected = oracle.util_test(predictions=predictions, labels=labels, k=2)
    assert list(fasttext.util.test(predictions, labels, 2)) == expected
    rng = np.random.default_rng(0)
    query, vectors = rng.normal(size=4), rng.normal(size=(20, 4))
    best = np.argsort(-vectors @ query)
    for banned in ([], best[:1].tolist(), best[:3].tolist()):
        arrays = (values.astype(np.float32) for values in (query, vectors))
        expected = oracle.nearest(query=query.tolist(), vectors=vectors.tolist(), banned=banned)
        assert fasttext.util.find_nearest_neighbor(*arrays, set(banned)) == expected


@pytest.mark.parametrize("model", ["classifier.bin", "vectors.bin"])
def test_words_and_lines(oracle, folder, model):
    ours, path = fasttext.load_model(folder / model), folder / model
    for text in [*texts.queries(), "__label__pos the __label__x </s> movie"]:
        text = text.replace("\0", " ")
        assert list(ours.get_line(text)) == oracle.line(path=path, text=text)
    for word in ("movie", "unseen", "映画", "</s>"):
        names, rows = ours.get_subwords(word)
        assert [names, rows.tolist()] == oracle.subwords(path=path, word=word)
        assert [ours.get_word_id(word), ours.get_subword_id(word)] == oracle.ids(
            path=path, word=word
        )


COMMANDS = {
    "test": ["test", "classifier.bin", "test.txt"],
    "test k": ["test", "classifier.bin", "test.txt", "2", "0.3"],
    "test-label": ["test-label", "classifier.bin", "test.txt", "2"],
    "predict": ["predict", "classifier.bin", "test.txt"],
    "predict k": ["predict", "classifier.bin", "test.txt", "3", "0.2"],
    "predict-prob": ["predict-prob", "classifier.bin", "test.txt", "2"],
    "predict-prob tree": ["predict-prob", "tree.bin", "test.txt", "-1"],
    "predict unfinished too": ["predict-prob", "tree.bin", "unfinished2.txt", "4"],
    "predict unfinished": ["predict-prob", "classifier.bin", "unfinished.txt", "4"],
    "print-word-vectors": ["print-word-vectors", "vectors.bin"],
    "print-sentence-vectors": ["print-sentence-vectors", "vectors.bin"],
    "sentence classifier": ["print-sentence-vectors", "classifier.bin"],
    "nn": ["nn", "vectors.bin", "4"],
    "dump args": ["dump", "classifier.bin", "args"],
    "dump args of vectors": ["dump", "vectors.bin", "args"],
    "dump dict": ["dump", "classifier.bin", "dict"],
    "dump input": ["dump", "vectors.bin", "input"],
    "dump output": ["dump", "vectors.bin", "output"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_print_the_same(oracle, folder, monkeypatch, capsys, name):
    command = COMMANDS[name]
    stdin = "movie\nunseen bad\n映画 the\n"
    (folder / "stdin.txt").write_text(stdin)
    monkeypatch.chdir(folder)
    expected = oracle.run(*command, stdin=stdin)
    with (folder / "stdin.txt").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert main(command) == 0
    found = capsys.readouterr().out
    if command[0] in ("test", "test-label", "predict", "dump"):
        # No number that both compute: to the last byte.
        assert found == expected
    assert_same_print(found, expected)


def test_test_reads_a_pipe(folder):
    command = [sys.executable, "-m", "kftext.fasttext", "test", "classifier.bin"]
    lines = (folder / "test.txt").read_bytes()
    printed = [
        subprocess.run([*command, name], input=lines, capture_output=True, cwd=folder, check=True)
        for name in ("-", "test.txt")
    ]
    assert printed[0].stdout == printed[1].stdout


def test_print_ngrams(oracle, folder, capsys):
    """The n-grams alone: the real command adds their vectors to memory that was never set."""
    command = ["print-ngrams", str(folder / "vectors.bin"), "überaus"]
    assert main(command) == 0
    found = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in found] == [
        line.split()[0] for line in oracle.run(*command).splitlines()
    ]
    model = fasttext.load_model(folder / "vectors.bin")
    row = model.get_subwords("überaus")[1][3]
    np.testing.assert_allclose(
        [float(x) for x in found[3][1:]], model.get_input_vector(row), rtol=1e-4
    )


def assert_same_print(found: str, expected: str) -> None:
    """Same words and lines; numbers agree to 1e-5 (they are printed with five or six digits)."""
    assert len(found.splitlines()) == len(expected.splitlines())
    for ours, theirs in zip(found.splitlines(), expected.splitlines(), strict=True):
        assert len(ours.split()) == len(theirs.split()), (ours, theirs)
        for a, b in zip(ours.split(), theirs.split(), strict=True):
            try:
                number = float(b)
            except ValueError:
                assert a == b, (ours, theirs)
            else:
                assert math.isclose(float(a), number, rel_tol=2e-5, abs_tol=1e-5), (ours, theirs)


@pytest.mark.parametrize("mode", ["supervised", "skipgram", "cbow"])
def test_trained_here_and_read_there(oracle, tmp_path, mode):
    """Models that the command trains: the real package reads them and answers the same."""
    if mode == "supervised":
        data = texts.write_labeled(tmp_path / "train.txt", lines=400, labels=5)
    else:
        data = texts.write_corpus(tmp_path / "train.txt", lines=400)
    flags = ["-dim", "10", "-bucket", "500", "-minCount", "1", "-epoch", "2", "-verbose", "0"]
    flags += ["-minn", "2", "-maxn", "4"] if mode != "supervised" else ["-wordNgrams", "2"]
    assert main([mode, "-input", str(data), "-output", str(tmp_path / "model"), *flags]) == 0
    path, model = tmp_path / "model.bin", fasttext.load_model(tmp_path / "model.bin")
    expected = oracle.word_vectors(path=path, words=model.words[:50])
    np.testing.assert_allclose([model[word] for word in model.words[:50]], expected, atol=1e-5)
    lines = (tmp_path / "model.vec").read_text().splitlines()
    assert lines[0] == f"{len(model.words)} 10"
    np.testing.assert_allclose([float(x) for x in lines[1].split()[1:]], expected[0], atol=1e-5)
    if mode == "supervised":
        questions = texts.queries()[:25]
        for (labels, probabilities), text in zip(
            oracle.predict(path=path, texts=questions, k=5), questions, strict=True
        ):
            found, numbers = model.predict(text, k=5)
            assert list(found) == labels
            np.testing.assert_allclose(numbers, probabilities, atol=1e-5)
