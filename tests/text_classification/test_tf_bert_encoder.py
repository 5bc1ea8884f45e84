"""A BERT from a checkpoint against the NumPy reference, and checkpoints that are not what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from kftext.errors import ModelFormatError, UsageError
from kftext.text_classification.bert_encoder import bert_module
from kftext.text_classification.encoder import Encoder, load_saved_model
from kftext.text_classification.export import save_encoder
from text_classification import naive_bert, naive_wordpiece
from text_classification.naive_bert import CONFIG, VOCABULARY, write_checkpoint

TEXTS = ["The film was unbelievable!", "Café, a", "", "zebra", "good " * 60]
PIECES = [
    "[CLS] the film was un ##believ ##able ! [SEP]",
    "[CLS] cafe , a [SEP]",
    "[CLS] [SEP]",
    "[CLS] [UNK] [SEP]",
    "[CLS] " + "good " * 38 + "[SEP]",
]
IDS = [[VOCABULARY.index(piece) for piece in pieces.split()] for pieces in PIECES]


@pytest.mark.parametrize(
    ("prefix", "activation", "pooling"),
    [("", "gelu", "pooled"), ("bert.", "gelu_new", "mean")],
)
def test_it_equals_the_reference(
    tmp_path: Path, prefix: str, activation: str, pooling: str
) -> None:
    config = CONFIG | {"hidden_act": activation}
    weights = write_checkpoint(tmp_path / "bert", config, prefix=prefix)
    module = bert_module(tmp_path / "bert", pooling)
    hidden = [naive_bert.hidden_states(config, weights, ids) for ids in IDS]
    if pooling == "pooled":
        expected = [naive_bert.pooled(weights, states) for states in hidden]
    else:
        expected = [states.mean(axis=0) for states in hidden]
    found = module(tf.constant(TEXTS)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("activation", "other"), [("gelu", "gelu_new"), ("gelu_new", "gelu")])
def test_the_two_gelus_are_told_apart(tmp_path: Path, activation: str, other: str) -> None:
    """Inputs of the activation are about -2.3, where the exact GELU and its tanh form differ most against their values."""
    config = CONFIG | {"hidden_act": activation}
    weights = write_checkpoint(tmp_path / "bert", config)
    for name, values in weights.items():
        if name.endswith("intermediate.dense.weight"):
            weights[name] = np.float32(0.1) * values
        elif name.endswith("intermediate.dense.bias"):
            weights[name] = np.full_like(values, -2.3)
    naive_bert.write_safetensors(tmp_path / "bert" / "model.safetensors", weights)
    found = bert_module(tmp_path / "bert", "mean")(tf.constant(TEXTS)).numpy()
    expected, wrong = (
        [
            naive_bert.hidden_states(CONFIG | {"hidden_act": name}, weights, ids).mean(0)
            for ids in IDS
        ]
        for name in (activation, other)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(np.subtract(expected, wrong)).max() > 50 * 1e-5


RULES = {
    "uncased": {},
    "cased": {"do_lower_case": False},
    "uncased, with accents": {"do_lower_case": True, "strip_accents": False},
    "Chinese words whole": {"tokenize_chinese_chars": False},
}


@pytest.mark.parametrize("settings", RULES.values(), ids=RULES)
def test_tokenization_is_wordpiece(tmp_path: Path, settings: dict[str, bool]) -> None:
    lower_case = settings.get("do_lower_case", True)
    rules = {"lower_case": lower_case, "strip_accents": settings.get("strip_accents", lower_case)}
    apart = settings.get("tokenize_chinese_chars", True)
    texts = [*TEXTS, *naive_wordpiece.ODD_TEXTS]
    # Each word is known, so that each difference shows.
    characters = set("".join(naive_wordpiece.clean(text, **rules) for text in texts)) - set(
        "\t\n\r \u2028\u2029\u3000\u00a0\u202f\u1680"
    )
    pieces = list(
        dict.fromkeys((*VOCABULARY, *sorted(characters), *sorted("##" + c for c in characters)))
    )
    write_checkpoint(tmp_path, CONFIG | {"vocab_size": len(pieces)})
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    module = bert_module(tmp_path)
    features = module.features(tf.constant(texts))
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    for text, row, mask in zip(
        texts, features["input_word_ids"].numpy(), features["input_mask"].numpy(), strict=True
    ):
        expected = naive_wordpiece.token_ids(
            text, vocabulary, 40, **rules, chinese_characters=apart
        )
        assert row[: mask.sum()].tolist() == expected, text


def test_a_vocabulary_with_windows_line_ends(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    (tmp_path / "vocab.txt").write_bytes("\r\n".join(VOCABULARY).encode())
    module = bert_module(tmp_path)
    found = module.features(tf.constant(TEXTS[:1]))["input_word_ids"]
    assert found.numpy()[0, : len(IDS[0])].tolist() == IDS[0]


def test_half_precision_checkpoints(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "F32")
    expected = bert_module(tmp_path / "F32")(tf.constant(TEXTS)).numpy()
    for kind, tolerance in (("F16", 0.02), ("BF16", 0.15)):
        write_checkpoint(tmp_path / kind, kind=kind)
        found = bert_module(tmp_path / kind)(tf.constant(TEXTS)).numpy()
        assert 0 < np.abs(found - expected).max() < tolerance


def test_saved_and_loaded_it_is_the_same_and_trains(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "bert")
    encoder = Encoder(bert_module(tmp_path / "bert"))
    before = encoder.module(tf.constant(TEXTS)).numpy()
    save_encoder(encoder, tmp_path / "saved")
    for file in (tmp_path / "bert").iterdir():
        file.unlink()
    loaded = Encoder(load_saved_model(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.module(tf.constant(TEXTS)), before, atol=1e-6)
    features = loaded.module.features(tf.constant(TEXTS))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(loaded.embed(features, training=True) ** 2)
    gradients = tape.gradient(loss, loaded.trainable_variables)
    assert len(gradients) == 3 + 2 + 2 * 12 + 2
    assert all(gradient is not None for gradient in gradients)


def change_config(**values: object) -> Callable[[Path], None]:
    return lambda folder: (folder / "config.json").write_text(json.dumps(CONFIG | values)) and None


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def lose_a_tensor(folder: Path) -> None:
    tensors = naive_bert.make_tensors(CONFIG)
    del tensors["encoder.layer.1.output.dense.bias"]
    naive_bert.write_safetensors(folder / "model.safetensors", tensors)


def spoil_the_vocabulary(folder: Path) -> None:
    (folder / "vocab.txt").write_bytes(b"[PAD]\n\xff\n")


def change_tokenizer(content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "tokenizer_config.json").write_text(content) and None


def lose_the_separator(folder: Path) -> None:
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\nthe\n")


DAMAGE = {
    "another model": (
        change_config(model_type="roberta"),
        "model_type is 'roberta': expected 'bert'",
    ),
    "relative positions": (change_config(position_embedding_type="relative_key"), "'absolute'"),
    "activation": (
        change_config(hidden_act="swish"),
        "hidden_act is 'swish': expected one of gelu",
    ),
    "heads": (change_config(num_attention_heads=5), "no multiple of num_attention_heads=5"),
    "wrong size": (change_config(hidden_size=24), "config.json says [17, 24]"),
    "bad size": (change_config(hidden_size="wide"), "config.json: hidden_size: "),
    "words": (change_config(vocab_size=9), "17 words, but config.json says vocab_size=9"),
    "cut short": (cut_weights, "which does not fit"),
    "missing tensor": (lose_a_tensor, "no tensor 'encoder.layer.1.output.dense.bias'"),
    "no separator": (lose_the_separator, "no [SEP] in it"),
    "no text": (spoil_the_vocabulary, "vocab.txt: not UTF-8 at byte 6"),
    "another tokenizer": (
        change_tokenizer('{"tokenizer_class": "BertJapaneseTokenizer"}'),
        "tokenizer_class is 'BertJapaneseTokenizer': expected 'BertTokenizer'",
    ),
    "a piece twice": (
        lambda folder: (folder / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\na\na\n") and None,
        "vocab.txt: 'a' stands in it more than once",
    ),
    "no JSON": (change_tokenizer("{"), "tokenizer_config.json:1: not JSON"),
    "a list": (change_tokenizer("[1]"), "tokenizer_config.json: expected a JSON object"),
    "no safetensors": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 100) and None,
        "not a safetensors file, or cut short",
    ),
    "empty": (lambda folder: (folder / "model.safetensors").write_bytes(b"") and None, "0 bytes"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_an_error(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    write_checkpoint(tmp_path)
    damage(tmp_path)
    with pytest.raises(ModelFormatError) as error:
        bert_module(tmp_path)
    assert message in str(error.value)


def test_poolings(tmp_path: Path) -> None:
    write_checkpoint(tmp_path)
    with pytest.raises(UsageError, match="pooling='max': expected one of pooled, mean, cls"):
        bert_module(tmp_path, "max")
    tensors = naive_bert.make_tensors(CONFIG)
    without = {name: values for name, values in tensors.items() if "pooler" not in name}
    naive_bert.write_safetensors(tmp_path / "model.safetensors", without)
    with pytest.raises(UsageError, match="needs a pooler, and there is none: use mean"):
        bert_module(tmp_path)
    texts = tf.constant(TEXTS)
    found = {name: bert_module(tmp_path, name)(texts).numpy() for name in ("mean", "cls")}
    first = [naive_bert.hidden_states(CONFIG, tensors, ids)[0] for ids in IDS]
    np.testing.assert_allclose(found["cls"], first, atol=1e-5)
    # What sentence-transformers' own file says is the default.
    (tmp_path / "1_Pooling").mkdir()
    for name, mode in (("mean", "pooling_mode_mean_tokens"), ("cls", "pooling_mode_cls_token")):
        settings = {"word_embedding_dimension": 12, "pooling_mode_max_tokens": False, mode: True}
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(settings))
        np.testing.assert_allclose(bert_module(tmp_path)(texts), found[name], atol=1e-6)
