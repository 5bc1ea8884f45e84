"""BERT as its paper has it, in NumPy float64, one text and one head at a time; and a checkpoint made on the spot."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

WORDS = ("the", "film", "was", "good", "bad", "cafe", "un", "##believ", "##able", "!", ",", "a")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)

CONFIG = {
    "model_type": "bert",
    "vocab_size": len(VOCABULARY),
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "hidden_act": "gelu",
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}


def make_tensors(config: dict[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights under the names that Hugging Face gives them; kernels are [out, in]."""
    random = np.random.default_rng(seed)
    width, inner = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], width),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], width),
        "pooler.dense.weight": (width, width),
        "pooler.dense.bias": (width,),
    }
    norms = ["embeddings.LayerNorm"]
    for index in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{index}."
        for name in ("attention.self.query", "attention.self.key", "attention.self.value"):
            shapes |= {f"{layer}{name}.weight": (width, width), f"{layer}{name}.bias": (width,)}
        for name, rows, columns in (
            ("attention.output.dense", width, width),
            ("intermediate.dense", inner, width),
            ("output.dense", width, inner),
        ):
            shapes |= {f"{layer}{name}.weight": (rows, columns), f"{layer}{name}.bias": (rows,)}
        norms += [f"{layer}attention.output.LayerNorm", f"{layer}output.LayerNorm"]
    for norm in norms:
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    return {name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def write_safetensors(path: Path, tensors: dict[str, np.ndarray], kind: str = "F32") -> None:
    """Write the format by its specification."""
    header, content = {"__metadata__": {"format": "pt"}}, b""
    for name, values in tensors.items():
        if kind == "BF16":
            data = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
        else:
            data = values.astype({"F32": "<f4", "F16": "<f2"}[kind]).tobytes()
        offsets = [len(content), len(content) + len(data)]
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": offsets}
        content += data
    encoded = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + content)


def write_checkpoint(
    folder: Path, config: dict[str, Any] = CONFIG, *, prefix: str = "", kind: str = "F32"
) -> dict[str, np.ndarray]:
    """Write a checkpoint's folder and return its tensors, without the prefix."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = make_tensors(config)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    named = {prefix + name: values for name, values in tensors.items()}
    write_safetensors(folder / "model.safetensors", named, kind)
    return tensors


def gelu(x: np.ndarray, exact: bool) -> np.ndarray:
    if exact:
        return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def hidden_states(config: dict[str, Any], weights: dict[str, np.ndarray], ids: list[int]):
    """Return float64[tokens, hidden] of one text, [CLS] and [SEP] among its ids."""
    weights = {name: values.astype(np.float64) for name, values in weights.items()}

    def dense(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + config["layer_norm_eps"])
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    heads = config["num_attention_heads"]
    size = config["hidden_size"] // heads
    x = (
        weights["embeddings.word_embeddings.weight"][ids]
        + weights["embeddings.position_embeddings.weight"][: len(ids)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    x = norm(x, "embeddings.LayerNorm")
    for index in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{index}."
        query, key, value = (
            dense(x, f"{layer}attention.self.{name}") for name in ("query", "key", "value")
        )
        context = np.zeros_like(x)
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[:, part].T / math.sqrt(size)
            powers = np.exp(scores - scores.max(-1, keepdims=True))
            context[:, part] = powers / powers.sum(-1, keepdims=True) @ value[:, part]
        x = norm(
            x + dense(context, f"{layer}attention.output.dense"),
            f"{layer}attention.output.LayerNorm",
        )
        inner = gelu(dense(x, f"{layer}intermediate.dense"), config["hidden_act"] == "gelu")
        x = norm(x + dense(inner, f"{layer}output.dense"), f"{layer}output.LayerNorm")
    return x


def pooled(weights: dict[str, np.ndarray], hidden: np.ndarray) -> np.ndarray:
    return np.tanh(hidden[0] @ weights["pooler.dense.weight"].T + weights["pooler.dense.bias"])
