"""A BERT checkpoint as Hugging Face lays it out: config.json, vocab.txt, model.safetensors. Needs no TensorFlow.

Two more files are heeded where they are: tokenizer_config.json, and 1_Pooling/config.json, by which sentence-transformers says how
embeddings were pooled when the model was trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kftext.errors import ModelFormatError, StorageError
from kftext.text_classification.safetensors import SafeTensors

__all__ = ["BertCheckpoint", "BertConfig", "BertLayer", "TextRules", "read_bert"]

Floats = npt.NDArray[np.float32]
_ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu")
_TOKENIZERS = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "PreTrainedTokenizer")
_SPECIAL = ("[CLS]", "[SEP]", "[UNK]")
_SENTENCE_POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


class BertConfig(BaseModel):
    """The part of config.json that counts for inference and fine-tuning; defaults are the format's own."""

    model_config = ConfigDict(extra="ignore")

    model_type: str = "bert"
    vocab_size: int = Field(gt=0)
    hidden_size: int = Field(gt=0)
    num_hidden_layers: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = Field(0.1, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(0.1, ge=0, lt=1)
    max_position_embeddings: int = Field(512, gt=2)
    type_vocab_size: int = Field(2, gt=0)
    layer_norm_eps: float = Field(1e-12, gt=0)
    position_embedding_type: str = "absolute"

    @property
    def exact_gelu(self) -> bool:
        """Whether GELU is the Gaussian's own, not its approximation by tanh."""
        return self.hidden_act == "gelu"


@dataclass(frozen=True)
class TextRules:
    """What tokenizer_config.json says about texts.

    Attributes:
        lower_case: whether texts are lower-cased.
        strip_accents: whether accents are lost.
        chinese_characters: whether each Chinese character is a word.
    """

    lower_case: bool = True
    strip_accents: bool = True
    chinese_characters: bool = True


@dataclass(frozen=True)
class BertLayer:
    """Weights of one layer; kernels are float32[in, out], and query, key and value stand side by side in one.

    Attributes:
        attention: kernel float32[hidden, 3 * hidden] and bias.
        attention_output: kernel float32[hidden, hidden] and bias.
        attention_norm: scale and offset, float32[hidden].
        intermediate: kernel float32[hidden, intermediate] and bias.
        output: kernel float32[intermediate, hidden] and bias.
        output_norm: scale and offset, float32[hidden].
    """

    attention: tuple[Floats, Floats]
    attention_output: tuple[Floats, Floats]
    attention_norm: tuple[Floats, Floats]
    intermediate: tuple[Floats, Floats]
    output: tuple[Floats, Floats]
    output_norm: tuple[Floats, Floats]


@dataclass(frozen=True)
class BertCheckpoint:
    """A checkpoint in memory.

    Attributes:
        config: its configuration.
        vocabulary: path of vocab.txt.
        cls: id of [CLS].
        sep: id of [SEP].
        rules: how texts become words.
        pooling: how sentence-transformers pools, "mean" or "cls"; None where the checkpoint does not say.
        embeddings: float32[words, hidden], [positions, hidden], [types, hidden].
        embedding_norm: scale and offset, float32[hidden].
        layers: from input to output.
        pooler: kernel float32[hidden, hidden] and bias; None where the checkpoint has none.
    """

    config: BertConfig
    vocabulary: Path
    cls: int
    sep: int
    rules: TextRules
    pooling: str | None
    embeddings: tuple[Floats, Floats, Floats]
    embedding_norm: tuple[Floats, Floats]
    layers: tuple[BertLayer, ...]
    pooler: tuple[Floats, Floats] | None


def read_bert(folder: Path) -> BertCheckpoint:
    """Read a checkpoint.

    Raises:
        StorageError: a file can't be read.
        ModelFormatError: it is no BERT, or its files don't fit each other.
    """
    config = _read_config(folder / "config.json")
    tensors = _Tensors(folder / "model.safetensors")
    width, inner = config.hidden_size, config.intermediate_size
    vocabulary = folder / "vocab.txt"
    pieces = _read_pieces(vocabulary, config)
    embeddings = (
        tensors.get("embeddings.word_embeddings.weight", config.vocab_size, width),
        tensors.get("embeddings.position_embeddings.weight", config.max_position_embeddings, width),
        tensors.get("embeddings.token_type_embeddings.weight", config.type_vocab_size, width),
    )
    layers = tuple(
        _read_layer(tensors, f"encoder.layer.{index}.", width, inner)
        for index in range(config.num_hidden_layers)
    )
    pooler = tensors.dense("pooler.dense", width, width) if "pooler.dense" in tensors else None
    return BertCheckpoint(
        config,
        vocabulary,
        cls=pieces.index("[CLS]"),
        sep=pieces.index("[SEP]"),
        rules=_read_rules(folder / "tokenizer_config.json"),
        pooling=_read_pooling(folder / "1_Pooling" / "config.json"),
        embeddings=embeddings,
        embedding_norm=tensors.norm("embeddings.LayerNorm", width),
        layers=layers,
        pooler=pooler,
    )


def _read_layer(tensors: _Tensors, prefix: str, width: int, inner: int) -> BertLayer:
    parts = [
        tensors.dense(f"{prefix}attention.self.{name}", width, width)
        for name in ("query", "key", "value")
    ]
    attention = (
        np.concatenate([kernel for kernel, _ in parts], axis=1),
        np.concatenate([bias for _, bias in parts]),
    )
    return BertLayer(
        attention,
        tensors.dense(f"{prefix}attention.output.dense", width, width),
        tensors.norm(f"{prefix}attention.output.LayerNorm", width),
        tensors.dense(f"{prefix}intermediate.dense", width, inner),
        tensors.dense(f"{prefix}output.dense", inner, width),
        tensors.norm(f"{prefix}output.LayerNorm", width),
    )


class _Tensors:
    """Named weights, with their shapes checked; a prefix `bert.` on all names is passed over."""

    def __init__(self, path: Path):
        self._path = path
        self._tensors = SafeTensors(path)
        self._prefix = "bert." if any(name.startswith("bert.") for name in self._tensors) else ""

    def __contains__(self, name: str) -> bool:
        return f"{self._prefix}{name}.weight" in self._tensors

    def get(self, name: str, *shape: int) -> Floats:
        full = self._prefix + name
        if full not in self._tensors:
            raise ModelFormatError(f"{self._path}: no tensor {full!r}")
        values = self._tensors[full]
        if values.shape != shape:
            raise ModelFormatError(
                f"{self._path}: tensor {full!r} is of shape {list(values.shape)}, config.json says {list(shape)}"
            )
        return values

    def dense(self, name: str, inputs: int, outputs: int) -> tuple[Floats, Floats]:
        """Return kernel and bias; PyTorch stores the kernel as [out, in]."""
        kernel = self.get(f"{name}.weight", outputs, inputs)
        return np.ascontiguousarray(kernel.T), self.get(f"{name}.bias", outputs)

    def norm(self, name: str, width: int) -> tuple[Floats, Floats]:
        """Return scale and offset; early checkpoints call them gamma and beta."""
        old = self._prefix + f"{name}.gamma" in self._tensors
        scale, offset = ("gamma", "beta") if old else ("weight", "bias")
        return self.get(f"{name}.{scale}", width), self.get(f"{name}.{offset}", width)


def _read_config(path: Path) -> BertConfig:
    try:
        config = BertConfig.model_validate_json(_read(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelFormatError(f"{path}: {where}: {first['msg']}") from None
    if config.model_type != "bert":
        raise ModelFormatError(f"{path}: model_type is {config.model_type!r}: expected 'bert'")
    if config.position_embedding_type != "absolute":
        raise ModelFormatError(
            f"{path}: position_embedding_type is {config.position_embedding_type!r}: expected 'absolute'"
        )
    if config.hidden_act not in _ACTIVATIONS:
        raise ModelFormatError(
            f"{path}: hidden_act is {config.hidden_act!r}: expected one of {', '.join(_ACTIVATIONS)}"
        )
    if config.hidden_size % config.num_attention_heads:
        raise ModelFormatError(
            f"{path}: hidden_size={config.hidden_size} is no multiple of "
            f"num_attention_heads={config.num_attention_heads}"
        )
    return config


def _read_pieces(path: Path, config: BertConfig) -> list[str]:
    try:
        pieces = [line.rstrip("\r") for line in _read(path).decode().split("\n")]
    except UnicodeDecodeError as error:
        raise ModelFormatError(f"{path}: not UTF-8 at byte {error.start}") from None
    if not pieces[-1]:
        pieces.pop()
    if len(pieces) > config.vocab_size:
        raise ModelFormatError(
            f"{path}: {len(pieces)} words, but config.json says vocab_size={config.vocab_size}"
        )
    if len(set(pieces)) < len(pieces):
        twice = next(piece for piece in pieces if pieces.count(piece) > 1)
        raise ModelFormatError(f"{path}: {twice!r} stands in it more than once")
    missing = [piece for piece in _SPECIAL if piece not in pieces]
    if missing:
        raise ModelFormatError(f"{path}: no {missing[0]} in it")
    return pieces


def _read_rules(path: Path) -> TextRules:
    settings = _read_settings(path)
    name = str(settings.get("tokenizer_class") or _TOKENIZERS[0])
    if name.removesuffix("Fast") not in _TOKENIZERS:
        raise ModelFormatError(f"{path}: tokenizer_class is {name!r}: expected 'BertTokenizer'")
    lower_case = bool(settings.get("do_lower_case", True))
    strip_accents = settings.get("strip_accents")
    return TextRules(
        lower_case,
        lower_case if strip_accents is None else bool(strip_accents),
        bool(settings.get("tokenize_chinese_chars", True)),
    )


def _read_pooling(path: Path) -> str | None:
    """Return what sentence-transformers calls the mean over tokens, or the first token; None for all else."""
    chosen = [name for name, value in _read_settings(path).items() if value is True]
    modes = [name for name in chosen if name.startswith("pooling_mode_")]
    return _SENTENCE_POOLINGS.get(modes[0]) if len(modes) == 1 else None


def _read_settings(path: Path) -> dict[str, Any]:
    """Return a JSON object, empty where there is no such file."""
    if not path.is_file():
        return {}
    try:
        settings = orjson.loads(_read(path))
    except orjson.JSONDecodeError as error:
        raise ModelFormatError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    if not isinstance(settings, dict):
        raise ModelFormatError(f"{path}: expected a JSON object")
    return settings


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from None
