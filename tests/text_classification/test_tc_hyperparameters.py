"""Names, defaults and valid values of the reference; defaults of each model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kftext.errors import HyperparameterError, UsageError
from kftext.text_classification import catalogue
from kftext.text_classification import defaults as command
from kftext.text_classification.hyperparameters import (
    OPTIMIZERS,
    TextClassificationHyperparameters,
)

REFERENCE = {
    "epochs": 10,
    "batch_size": 32,
    "learning_rate": 0.001,
    "optimizer": "adam",
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-7,
    "momentum": 0.9,
    "rho": 0.95,
    "initial_accumulator_value": 0.0001,
    "warmup_steps_fraction": 0.1,
    "dropout_rate": 0.2,
    "regularizers_l2": 0.0001,
    "reinitialize_top_layer": "Auto",
    "train_only_top_layer": False,
    "early_stopping": False,
    "early_stopping_patience": 5,
    "early_stopping_min_delta": 0.0,
    "validation_split_ratio": 0.2,
}


def test_the_references_names_and_defaults() -> None:
    own = TextClassificationHyperparameters().model_dump()
    assert own.pop("class_weights") == "none"
    assert own.pop("mixed_precision") == "Auto"
    assert own.pop("xla") is False
    assert own == REFERENCE


def test_values_may_be_strings_and_names_synonyms() -> None:
    read = TextClassificationHyperparameters.read(
        {"eps": "1e-6", "train_only_on_top_layer": "True", "epochs": "3", "optimizer": "adamw"},
        {"reinitialize_top_layer": False, "epochs": None},
    )
    assert (read.epsilon, read.train_only_top_layer, read.epochs) == (1e-6, True, 3)
    assert (read.optimizer, read.reinitialize_top_layer) == ("adamw", "False")
    with pytest.raises(UsageError, match=r"epsilon is given twice, as 0\.1 and 0\.2"):
        TextClassificationHyperparameters.read({"eps": 0.1, "epsilon": 0.2})


@pytest.mark.parametrize(
    ("name", "value", "valid"),
    [
        ("epochs", 0, "an integer > 0"),
        ("batch_size", "many", "an integer > 0"),
        ("learning_rate", 0, "a number > 0 and <= 1"),
        ("learning_rate", "nan", "a number > 0 and <= 1"),
        ("optimizer", "lamb", f"one of {', '.join(OPTIMIZERS)}"),
        ("beta_1", 1.5, "a number >= 0 and <= 1"),
        ("epsilon", 1e-9, "a number >= 1e-08 and <= 1"),
        ("dropout_rate", -0.1, "a number >= 0 and <= 1"),
        ("regularizers_l2", 2, "a number >= 0 and <= 1"),
        ("reinitialize_top_layer", "maybe", "one of Auto, True, False"),
        ("train_only_top_layer", "sometimes", "True or False"),
        ("early_stopping_patience", 0, "an integer > 0"),
        ("validation_split_ratio", 1.1, "a number >= 0 and <= 1"),
        ("class_weights", "heavy", "one of none, balanced"),
        ("layers", 3, "one of the names epochs, batch_size"),
    ],
)
def test_an_error_names_what_is_valid(name: str, value: Any, valid: str) -> None:
    with pytest.raises(HyperparameterError) as error:
        TextClassificationHyperparameters.read({name: value})
    assert f"hyperparameter {name}={value!r}: expected {valid}" in str(error.value)


def test_nothing_left_to_train_on() -> None:
    with pytest.raises(UsageError, match="no row is left to train on"):
        TextClassificationHyperparameters.read({"validation_split_ratio": 1})


def test_the_catalogue_holds_every_model_of_the_reference() -> None:
    ids = {
        "bert-en-uncased-L-12-H-768-A-12-2",
        "bert-en-cased-L-12-H-768-A-12-2",
        "bert-multi-cased-L-12-H-768-A-12-2",
        *(
            f"small-bert-bert-en-uncased-L-{layers}-H-{size}"
            for layers in (2, 4, 6, 8, 10, 12)
            for size in ("128-A-2", "256-A-4", "512-A-8", "768-A-12")
        ),
        *(
            f"bert-en{wwm}-{case}-L-24-H-1024-A-16-2"
            for wwm in ("", "-wwm")
            for case in ("uncased", "cased")
        ),
        "albert-en-base",
        "electra-small-1",
        "electra-base-1",
        "experts-bert-wiki-books-1",
        "experts-bert-pubmed-1",
        "talking-heads-base",
        "talking-heads-large",
    }
    assert set(catalogue.CATALOGUE) == {f"tensorflow-tc-{name}" for name in ids}
    assert len({model.handle for model in catalogue.CATALOGUE.values()}) == len(ids) == 38


@pytest.mark.parametrize(
    ("name", "handle", "preprocessing"),
    [
        (
            "bert-en-wwm-cased-L-24-H-1024-A-16-2",
            "tensorflow/bert_en_wwm_cased_L-24_H-1024_A-16/3",
            "bert_en_cased_preprocess/3",
        ),
        (
            "bert-multi-cased-L-12-H-768-A-12-2",
            "tensorflow/bert_multi_cased_L-12_H-768_A-12/3",
            "bert_multi_cased_preprocess/3",
        ),
        (
            "small-bert-bert-en-uncased-L-10-H-256-A-4",
            "tensorflow/small_bert/bert_en_uncased_L-10_H-256_A-4/1",
            "bert_en_uncased_preprocess/3",
        ),
        ("albert-en-base", "tensorflow/albert_en_base/2", "albert_en_preprocess/3"),
        (
            "experts-bert-wiki-books-1",
            "google/experts/bert/wiki_books/2",
            "bert_en_uncased_preprocess/3",
        ),
        (
            "talking-heads-large",
            "tensorflow/talkheads_ggelu_bert_en_large/1",
            "bert_en_uncased_preprocess/3",
        ),
    ],
)
def test_handles(name: str, handle: str, preprocessing: str) -> None:
    model = catalogue.find(name)
    assert model is not None
    assert model.handle == f"https://tfhub.dev/{handle}"
    assert model.preprocessing == f"https://tfhub.dev/tensorflow/{preprocessing}"
    assert catalogue.find(model.handle) is model


def test_no_default_destroys_a_transformer() -> None:
    for name in catalogue.CATALOGUE:
        tuned = catalogue.defaults(name, train_only_top_layer=False)
        assert tuned["optimizer"] == "adamw"
        assert tuned["learning_rate"] <= 3e-4
        top = catalogue.defaults(name, train_only_top_layer=True)
        assert (top["learning_rate"], top["optimizer"]) == (0.001, "adam")


def test_large_models_train_the_head_alone_in_smaller_batches() -> None:
    for name in catalogue.CATALOGUE:
        large = "L-24" in name or name.endswith("large")
        values = catalogue.defaults(name)
        assert values["train_only_top_layer"] is large
        assert values["batch_size"] == (16 if large else 32)


def test_what_is_trained_decides_the_defaults() -> None:
    read = catalogue.read_hyperparameters("albert-en-base", {"train_only_on_top_layer": "True"})
    assert (read.learning_rate, read.epochs, read.dropout_rate) == (0.001, 20, 0.1)
    read = catalogue.read_hyperparameters("albert-en-base", {"learning_rate": "1e-4"})
    assert (read.learning_rate, read.optimizer) == (1e-4, "adamw")
    with pytest.raises(HyperparameterError, match="train_only_top_layer='x': expected True or"):
        catalogue.read_hyperparameters("bert", {"train_only_top_layer": "x"})


def test_the_command_prints_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 38
    name, handle = lines[0].split("\t")
    assert catalogue.CATALOGUE[name].handle == handle
    assert command.main(["tensorflow-tc-talking-heads-large"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == catalogue.defaults("talking-heads-large")
    with pytest.raises(UsageError, match="no model of the catalogue has the id 'bert-huge'"):
        command.main(["bert-huge"])


def test_the_guide_holds_the_table() -> None:
    guide = Path(__file__).parents[2] / "docs" / "text_classification.md"
    assert TextClassificationHyperparameters.table() in guide.read_text()
