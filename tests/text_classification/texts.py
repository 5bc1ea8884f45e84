"""Small labelled data, made on the spot."""

from __future__ import annotations

import random
from pathlib import Path

WORDS = (
    *("good", "great", "fine", "lovely", "bright"),
    *("bad", "poor", "awful", "dull", "grim"),
    *("the", "a", "film", "story", "was", "is", "and", "so", "plot", "very"),
)


def sentences(count: int, seed: int = 0) -> list[tuple[int, str]]:
    """Return (label, text): words of one mood among words of none, some capital letters and punctuation."""
    choice = random.Random(seed)
    rows = []
    for index in range(count):
        label = index % 2
        mood = WORDS[:5] if label else WORDS[5:10]
        words = choice.choices(WORDS[10:], k=choice.randint(1, 9))
        words.insert(choice.randrange(len(words) + 1), choice.choice(mood))
        rows.append((label, (" ".join(words) + choice.choice(["", ".", ","])).capitalize()))
    return rows


def write_csv(folder: Path, rows: list[tuple[int, str]]) -> str:
    """Write a data folder."""
    folder.mkdir(parents=True, exist_ok=True)
    content = "".join(f'{label},"{content}"\n' for label, content in rows)
    (folder / "data.csv").write_text(content)
    return str(folder)
