"""Reading sets of word pairs in the layouts they are published in."""

from __future__ import annotations

from pathlib import Path

import pytest

from kftext.data.word_pairs import find_word_pairs, installed_word_pairs, read_word_pairs
from kftext.errors import DataError, StorageError


@pytest.mark.parametrize(
    "content",
    [
        "tiger\tcat\t7.35\n\nbook\tpaper\t7.46\n",
        "tiger cat 7.35\nbook paper   7.46",
        "Word 1,Word 2,Human (mean)\ntiger,cat,7.35\r\nbook,paper,7.46\r\n",
        "# WordSim\ntiger\tcat\t7.35\tmore\nbook\tpaper\t7.46\tfields\n",
        "word1\tword2\tPOS\tSimLex999\ntiger\tcat\tN\t7.35\t1\nbook\tpaper\tN\t7.46\t2\n",
        "\ufefftiger\tcat\t7.35\nbook\tpaper\t7.46\n",
    ],
    ids=["tabs", "spaces", "csv with header", "comments", "simlex", "byte order mark"],
)
def test_layouts(tmp_path: Path, content: str) -> None:
    file = tmp_path / "pairs.txt"
    file.write_text(content, encoding="utf-8")
    pairs = read_word_pairs(file)
    assert pairs.name == "pairs.txt"
    assert pairs.pairs == (("tiger", "cat", 7.35), ("book", "paper", 7.46))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"tiger\tcat\t7.35\nbook paper\n",
            ":2: expected two words and a score, found 'book paper'",
        ),
        (b"", ": no pair of words with a score"),
        (b"only a header\n", ": no pair of words with a score"),
        (b"tiger\tcat\t7\nb\xff\tc\t1\n", ": not UTF-8 at byte 13"),
    ],
)
def test_a_faulty_file_is_named_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "pairs.txt"
    file.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_word_pairs(file)
    assert str(error.value) == f"{file}{message}"


def test_the_installed_set_is_ws_353() -> None:
    (ws353,) = installed_word_pairs()
    assert (ws353.name, len(ws353.pairs)) == ("EN-WS-353-ALL.txt", 353)
    assert [pairs.name for pairs in find_word_pairs([])] == [ws353.name]


def test_folders_hold_several_sets_and_nothing_there_is_an_error(tmp_path: Path) -> None:
    for name in ("one.txt", "two.txt"):
        (tmp_path / name).write_text("a\tb\t1\n")
    assert [pairs.name for pairs in find_word_pairs([str(tmp_path)])] == ["one.txt", "two.txt"]
    with pytest.raises(StorageError):
        find_word_pairs([str(tmp_path / "gone.txt")])


def test_published_files(data_dir: Path) -> None:
    folder = data_dir / "wordsim"
    sizes = {
        "EN-WS-353-ALL.txt": 353,
        "EN-WS-353-REL.txt": 252,
        "EN-WS-353-SIM.txt": 203,
        "EN-SIMLEX-999.txt": 999,
        "SimLex-999.full.txt": 999,
        "wordsim353.combined.csv": 353,
        "wordsim353.gensim.tsv": 353,
    }
    assert {name: len(read_word_pairs(folder / name).pairs) for name in sizes} == sizes
