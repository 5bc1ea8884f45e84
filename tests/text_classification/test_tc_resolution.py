"""Where a model is looked for, in which order, and what is said when it is nowhere."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

import pytest

from kftext.errors import ModelFormatError, StorageError, UsageError
from kftext.text_classification import mirror
from kftext.text_classification.catalogue import CATALOGUE, find
from kftext.text_classification.loading import Kind, find_model
from kftext.text_classification.resolution import mirror_path, resolve

ALBERT = "https://tfhub.dev/tensorflow/albert_en_base/2"


def saved_model(folder: Path, mark: bytes = b"a model") -> Path:
    """A folder that looks like a SavedModel, as far as resolution looks."""
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(mark)
    (folder / "variables").mkdir()
    (folder / "variables" / "variables.index").write_bytes(b"index")
    return folder


def in_hub_cache(tmp_path: Path, handle: str, mark: bytes = b"cached") -> Path:
    return saved_model(tmp_path / "hub" / hashlib.sha1(handle.encode()).hexdigest(), mark)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_id_is_found_in_the_hubs_cache_by_its_handle(name: str, tmp_path: Path) -> None:
    model = CATALOGUE[name]
    encoder = in_hub_cache(tmp_path, model.handle)
    preprocessor = in_hub_cache(tmp_path, model.preprocessing)
    found = find_model(name, tmp_path / "work")
    assert (found.path, found.preprocessing) == (encoder, preprocessor)
    assert (found.kind, found.defaults) == (Kind.SAVED_MODEL, name)


def test_the_mirror_comes_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_hub_cache(tmp_path, ALBERT)
    output = tmp_path / "mirror"
    archive = mirror.mirror(ALBERT, str(output), tmp_path / "work")
    assert archive == str(output / "tensorflow/albert_en_base/2.tar.gz")
    in_hub_cache(tmp_path / "elsewhere", ALBERT, b"newer")
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "elsewhere" / "hub"))
    assert (resolve(ALBERT, tmp_path / "work") / "saved_model.pb").read_bytes() == b"newer"
    monkeypatch.setenv("KFTEXT_MODEL_MIRROR", str(output))
    found = resolve("albert-en-base", tmp_path / "work")
    assert (found / "saved_model.pb").read_bytes() == b"cached"
    assert (found / "variables" / "variables.index").read_bytes() == b"index"


def test_the_mirror_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = find("albert-en-base")
    assert model is not None
    for handle in (model.handle, model.preprocessing):
        in_hub_cache(tmp_path, handle)
    assert mirror.main(["--output", str(tmp_path / "mirror"), "tensorflow-tc-albert-en-base"]) == 0
    paths = [mirror_path(str(tmp_path / "mirror"), h) for h in (model.handle, model.preprocessing)]
    assert capsys.readouterr().out.splitlines() == paths
    with tarfile.open(paths[0]) as tar:
        assert sorted(tar.getnames()) == ["saved_model.pb", "variables/variables.index"]
    assert mirror.main(["--output", str(tmp_path / "mirror"), model.handle]) == 0
    with pytest.raises(UsageError, match="ids or handles of models, or --all"):
        mirror.main(["--output", str(tmp_path)])
    with pytest.raises(UsageError, match="'nonsense' is neither an id"):
        mirror.main(["--output", str(tmp_path), "nonsense"])


def test_a_local_archive_with_the_model_in_a_folder_or_without(tmp_path: Path) -> None:
    folder = saved_model(tmp_path / "plain")
    for name, arcname in (("flat.tar.gz", "."), ("nested.tar.gz", "encoder")):
        with tarfile.open(tmp_path / name, "w:gz") as tar:
            tar.add(folder, arcname)
        found = resolve(str(tmp_path / name), tmp_path / "work")
        assert (found / "saved_model.pb").read_bytes() == b"a model"


def test_an_archive_that_leads_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "x", "../x")
    with pytest.raises(ModelFormatError, match="leads out of the folder"):
        resolve(str(tmp_path / "bad.tar.gz"), tmp_path / "work")


def test_what_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"expected an id of the catalogue .* there is nothing"):
        resolve("no-such-thing", tmp_path / "work")
    (tmp_path / "notes.pdf").write_text("x")
    with pytest.raises(StorageError, match=r"expected a folder or a \.tar\.gz"):
        resolve(str(tmp_path / "notes.pdf"), tmp_path / "work")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelFormatError, match="no model to train from: expected a SavedModel"):
        find_model(str(tmp_path / "empty"), tmp_path / "work")


def test_kinds_of_folders(tmp_path: Path) -> None:
    saved = saved_model(tmp_path / "saved")
    found = find_model(str(saved), tmp_path / "work")
    assert (found.kind, found.defaults) == (Kind.SAVED_MODEL, "text-embedding")
    found = find_model(str(saved), tmp_path / "work", str(saved))
    assert found.defaults == "bert"
    bert = tmp_path / "bert"
    bert.mkdir()
    for name in ("config.json", "vocab.txt", "model.safetensors"):
        (bert / name).write_text("{}")
    assert find_model(str(bert), tmp_path / "work").kind is Kind.BERT_CHECKPOINT
    with pytest.raises(UsageError, match="a bert-checkpoint takes no preprocessing model"):
        find_model(str(bert), tmp_path / "work", str(saved))
    vectors = tmp_path / "words.vec"
    vectors.write_text("2 2\na 1 2\nb 3 4\n")
    found = find_model(str(vectors), tmp_path / "work")
    assert (found.kind, found.defaults) == (Kind.WORD_VECTORS, "word-vectors")
