"""Counts of hits and confusions, beside a plain loop over all examples."""

from __future__ import annotations

import random

import pytest

from kftext.metrics.classification import ClassificationCounts, LabelScores

LABELS = ["a", "b", "c", "d", "e"]


def random_examples(seed: int, number: int = 300) -> list[tuple[list[str], list[str]]]:
    generator = random.Random(seed)
    return [
        (
            generator.sample(LABELS, generator.randint(1, 3)),
            generator.sample(LABELS, generator.randint(0, 4)),
        )
        for _ in range(number)
    ]


def counted(examples: list[tuple[list[str], list[str]]], k: int) -> ClassificationCounts:
    counts = ClassificationCounts(k)
    for true, predicted in examples:
        counts.add(true, predicted)
    return counts


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("seed", [1, 2])
def test_equals_a_plain_loop(k: int, seed: int) -> None:
    examples = random_examples(seed)
    counts = counted(examples, k)
    pairs = [(t, p) for true, predicted in examples for p in predicted[:k] for t in [p in true]]
    assert counts.precision_at_k == pytest.approx(sum(hit for hit, _ in pairs) / len(pairs))
    assert counts.recall_at_k == pytest.approx(
        sum(hit for hit, _ in pairs) / sum(len(true) for true, _ in examples)
    )
    first = [bool(predicted) and predicted[0] in true for true, predicted in examples]
    assert counts.accuracy == pytest.approx(sum(first) / len(first))
    for label in LABELS:
        guessed = [label in predicted[:k] for _, predicted in examples]
        truth = [label in true for true, _ in examples]
        both = sum(g and t for g, t in zip(guessed, truth, strict=True))
        scores = counts.label(label)
        assert scores.precision == pytest.approx(both / sum(guessed))
        assert scores.recall == pytest.approx(both / sum(truth))
        assert scores.f1 == pytest.approx(2 * both / (sum(guessed) + sum(truth)))
        assert scores.support == sum(truth)
    assert counts.macro_f1 == pytest.approx(
        sum(counts.label(label).f1 for label in LABELS) / len(LABELS)
    )


def test_the_commonest_label_is_what_a_constant_answer_would_reach() -> None:
    counts = counted([(["b"], ["a"]), (["b"], ["b"]), (["a"], ["a"])], 1)
    assert counts.commonest_label == ("b", pytest.approx(2 / 3))


def test_a_label_that_is_never_predicted_or_never_true() -> None:
    counts = counted([(["a"], ["b"])], 1)
    assert counts.label("a") == LabelScores(precision=None, recall=0.0, f1=0.0, support=1)
    assert counts.label("b") == LabelScores(precision=0.0, recall=None, f1=0.0, support=0)


def test_nothing_counted_is_zero_and_not_an_error() -> None:
    counts = ClassificationCounts()
    assert (counts.accuracy, counts.precision_at_k, counts.macro_f1) == (0.0, 0.0, 0.0)
    assert counts.commonest_label == ("", 0.0)
    assert counts.confusion_matrix() == ([], [])


def test_confusion_counts_first_answers() -> None:
    counts = counted(
        [(["a"], ["a"]), (["a"], ["b", "a"]), (["a", "b"], ["b"]), (["a", "b"], ["c"])], 2
    )
    labels, matrix = counts.confusion_matrix()
    assert labels == ["a", "b", "c"]
    assert matrix == [[1, 1, 1], [0, 1, 1], [0, 0, 0]]


def test_rare_labels_share_the_last_row_and_column() -> None:
    examples = [(["a"], ["a"])] * 5 + [(["b"], ["b"])] * 3 + [(["c"], ["d"]), (["d"], ["a"])]
    labels, matrix = counted(examples, 1).confusion_matrix(most=3)
    assert labels == ["a", "b", "(others)"]
    assert matrix == [[5, 0, 0], [0, 3, 0], [1, 0, 1]]
    assert sum(map(sum, matrix)) == len(examples)
