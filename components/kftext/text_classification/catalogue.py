"""The reference's models: id -> TensorFlow Hub handles, and hyperparameters that train them well.

Where the defaults differ from the reference's, and why:

- The reference fine-tunes every transformer with adam at 1e-3. That destroys its weights in the first steps: SST-2 ends at
  0.58. Fine-tuning here is by adamw with warm-up, at rates of the papers: Devlin et al., "BERT", 2019, appendix A.3 (2e-5 to
  5e-5, 2 to 4 epochs); Turc et al., "Well-Read Students Learn Better", 2019 (3e-5 to 3e-4, the smaller the model the larger);
  Clark et al., "ELECTRA", 2020, appendix B (1e-4 base, 3e-4 small); Lan et al., "ALBERT", 2020, appendix A.4 (1e-5 to 5e-5).
- Fine-tuning takes 3 or 4 epochs, not 10: what these models learn after that is the training data by heart.
- Models of 24 layers train the head alone, as in the reference. The encoder is then run once for each text, whatever the
  number of epochs: 20 of them cost next to nothing.
- ALBERT shares one layer's weights and has no use for dropout: 0.1 in place of 0.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kftext.errors import UsageError
from kftext.text_classification.hyperparameters import (
    TextClassificationHyperparameters,
    is_true,
    rename,
)

__all__ = ["CATALOGUE", "PREFIX", "CatalogueModel", "defaults", "find", "read_hyperparameters"]

PREFIX = "tensorflow-tc-"
_HUB = "https://tfhub.dev/"
_BERT_UNCASED = "tensorflow/bert_en_uncased_preprocess/3"
_BERT_CASED = "tensorflow/bert_en_cased_preprocess/3"
_BERT_MULTI = "tensorflow/bert_multi_cased_preprocess/3"
_ALBERT = "tensorflow/albert_en_preprocess/3"

_HEAD_ALONE: dict[str, Any] = {
    "train_only_top_layer": True,
    "optimizer": "adam",
    "learning_rate": 0.001,
    "epochs": 20,
    "batch_size": 32,
}


def _fine_tuning(learning_rate: float, *, epochs: int = 3, batch_size: int = 32) -> dict[str, Any]:
    return {
        "train_only_top_layer": False,
        "optimizer": "adamw",
        "learning_rate": learning_rate,
        "epochs": epochs,
        "batch_size": batch_size,
    }


@dataclass(frozen=True)
class CatalogueModel:
    """One model of the reference.

    Attributes:
        model_id: its id, with the prefix.
        handle: the encoder's TensorFlow Hub handle.
        preprocessing: the handle of the model that turns texts into the encoder's input.
        fine_tuning: hyperparameters that differ from the reference's when the whole network is trained.
        large: whether the head alone is trained unless the user says otherwise.
    """

    model_id: str
    handle: str
    preprocessing: str
    fine_tuning: Mapping[str, Any]
    large: bool = False


def _models() -> Iterator[CatalogueModel]:
    def model(
        name: str,
        path: str,
        preprocessing: str,
        tuning: Mapping[str, Any],
        *,
        large: bool = False,
    ) -> CatalogueModel:
        return CatalogueModel(PREFIX + name, _HUB + path, _HUB + preprocessing, tuning, large)

    base = _fine_tuning(3e-5)
    large = _fine_tuning(2e-5, batch_size=16)
    for case, preprocessing in (("uncased", _BERT_UNCASED), ("cased", _BERT_CASED)):
        size = "L-12-H-768-A-12"
        path = f"tensorflow/bert_en_{case}_{_path(size)}/3"
        yield model(f"bert-en-{case}-{size}-2", path, preprocessing, base)
        size = "L-24-H-1024-A-16"
        for name, stem in (("bert-en", "bert_en"), ("bert-en-wwm", "bert_en_wwm")):
            path = f"tensorflow/{stem}_{case}_{_path(size)}/3"
            yield model(f"{name}-{case}-{size}-2", path, preprocessing, large, large=True)
    size = "L-12-H-768-A-12"
    path = f"tensorflow/bert_multi_cased_{_path(size)}/3"
    yield model(f"bert-multi-cased-{size}-2", path, _BERT_MULTI, base)
    for layers in (2, 4, 6, 8, 10, 12):
        for width, heads, rate in ((128, 2, 3e-4), (256, 4, 1e-4), (512, 8, 5e-5), (768, 12, 5e-5)):
            size = f"L-{layers}-H-{width}-A-{heads}"
            path = f"tensorflow/small_bert/bert_en_uncased_{_path(size)}/1"
            tuning = _fine_tuning(rate, epochs=4)
            yield model(f"small-bert-bert-en-uncased-{size}", path, _BERT_UNCASED, tuning)
    albert = {**_fine_tuning(3e-5), "dropout_rate": 0.1}
    yield model("albert-en-base", "tensorflow/albert_en_base/2", _ALBERT, albert)
    for name, rate in (("small", 3e-4), ("base", 1e-4)):
        path = f"google/electra_{name}/2"
        yield model(f"electra-{name}-1", path, _BERT_UNCASED, _fine_tuning(rate))
    for name, stem in (("wiki-books", "wiki_books"), ("pubmed", "pubmed")):
        path = f"google/experts/bert/{stem}/2"
        yield model(f"experts-bert-{name}-1", path, _BERT_UNCASED, base)
    for name in ("base", "large"):
        path = f"tensorflow/talkheads_ggelu_bert_en_{name}/1"
        is_large = name == "large"
        tuning = large if is_large else base
        yield model(f"talking-heads-{name}", path, _BERT_UNCASED, tuning, large=is_large)


def _path(size: str) -> str:
    """L-12-H-768-A-12 as hub paths write it: L-12_H-768_A-12."""
    return size.replace("-H", "_H").replace("-A", "_A")


CATALOGUE: dict[str, CatalogueModel] = {model.model_id: model for model in _models()}
"""Each model by its id."""

_BY_HANDLE = {model.handle: model for model in CATALOGUE.values()}

WORD_VECTORS = "word-vectors"
"""Name of the defaults for encoders made from word vectors."""

BERT = "bert"
"""Name of the defaults for transformers that are not in the catalogue."""

TEXT_EMBEDDING = "text-embedding"
"""Name of the defaults for other text embeddings (nnlm, universal-sentence-encoder)."""

_KINDS: dict[str, dict[bool, dict[str, Any]]] = {
    WORD_VECTORS: {
        False: {
            "train_only_top_layer": False,
            "optimizer": "adam",
            "learning_rate": 0.001,
            "epochs": 12,
            "batch_size": 32,
            "dropout_rate": 0.5,
        },
        True: {**_HEAD_ALONE, "learning_rate": 0.01, "regularizers_l2": 0.0},
    },
    BERT: {False: _fine_tuning(3e-5), True: _HEAD_ALONE},
    TEXT_EMBEDDING: {
        False: {**_fine_tuning(1e-3, epochs=10), "optimizer": "adam"},
        True: _HEAD_ALONE,
    },
}


def find(model: str) -> CatalogueModel | None:
    """Return the catalogue's model of an id, with or without its prefix, or of a hub handle; None where there is none."""
    return (
        CATALOGUE.get(model) or CATALOGUE.get(PREFIX + model) or _BY_HANDLE.get(model.rstrip("/"))
    )


def defaults(model: str, *, train_only_top_layer: bool | None = None) -> dict[str, Any]:
    """Return all hyperparameters' defaults for a model, by name, to be changed and handed to training.

    Args:
        model: id or handle of the catalogue, or the name of a kind: "word-vectors", "bert", "text-embedding".
        train_only_top_layer: what is trained; the model's own default where it is None.

    Raises:
        UsageError: the catalogue has no such model.
    """
    found = find(model)
    if found is not None:
        top = found.large if train_only_top_layer is None else train_only_top_layer
        own = _HEAD_ALONE if top else dict(found.fine_tuning)
        for name in ("batch_size", "dropout_rate"):
            if top and name in found.fine_tuning:
                own = {**own, name: found.fine_tuning[name]}
    elif model in _KINDS:
        own = _KINDS[model][bool(train_only_top_layer)]
    else:
        raise UsageError(
            f"no model of the catalogue has the id {model!r}; "
            "python -m kftext.text_classification.defaults lists them"
        )
    return TextClassificationHyperparameters.read(own).model_dump()


def read_hyperparameters(
    model: str, *sources: Mapping[str, Any]
) -> TextClassificationHyperparameters:
    """Build the hyperparameters for a model: its defaults, and what the sources say instead.

    Args:
        model: as for `defaults`.
        sources: dictionaries; a later one wins over an earlier one, and None means "not given". Values may be strings.

    Raises:
        HyperparameterError: a name or value is not valid.
        UsageError: values that don't go together.
    """
    name = "train_only_top_layer"
    given = [values[name] for source in sources if name in (values := rename(source))]
    top = is_true(name, given[-1]) if given else None
    return TextClassificationHyperparameters.read(
        defaults(model, train_only_top_layer=top), *sources
    )
