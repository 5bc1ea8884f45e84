"""The step and its command: order, faults, formats, going on after a kill, object storage, several processes."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kftext import models, packaging
from kftext.batch.__main__ import main
from kftext.batch.records import InputFormat
from kftext.batch.transform import BatchRequest, transform
from kftext.cli import run
from kftext.errors import DataError, StorageError, UsageError
from serving.processes import write_classifier, write_vectors


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_classifier(tmp_path / "model")


def lines(path: str | Path) -> list[Any]:
    return [json.loads(line) for line in Path(path).read_bytes().splitlines()]


def results(folder: Path) -> list[Any]:
    return [row for part in sorted(folder.glob("part-*.jsonl")) for row in lines(part)]


def rows_of(model: Path, texts: list[str], k: int = 1) -> list[Any]:
    """What the model says of each text, one at a time."""
    predictor = models.load(model)
    assert isinstance(predictor, models.Classifier)
    answers = [predictor.predict([text], k=k)[0] for text in texts]
    return [{"prob": one.probabilities, "label": one.labels} for one in answers]


def write_texts(path: Path, count: int) -> list[str]:
    """Texts whose answers differ from line to line."""
    words = ("good", "bad", "fine", "movie")
    padding = "x" * 150
    texts = [" ".join([*(words[(i // 4**j) % 4] for j in range(6)), padding]) for i in range(count)]
    path.write_text("".join(text + "\n" for text in texts))
    return texts


def close(found: list[Any], expected: list[Any]) -> None:
    assert [row["label"] for row in found] == [row["label"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one["prob"] == pytest.approx(other["prob"], abs=1e-6)


def test_json_lines_with_a_k_of_their_own(model: Path, tmp_path: Path):
    source = tmp_path / "in.jsonl"
    source.write_text(
        '{"source": "good movie"}\n{"source": "bad", "k": 3, "id": 7}\n{"source": "fine fine", "k": 2}'
    )
    summary = transform(BatchRequest(str(model), str(source), str(tmp_path / "out.jsonl")))
    assert (summary.files, summary.lines, summary.rejected) == (1, 3, 0)
    found = lines(tmp_path / "out.jsonl")
    expected = [
        *rows_of(model, ["good movie"]),
        *rows_of(model, ["bad"], 3),
        *rows_of(model, ["fine fine"], 2),
    ]
    close(found, expected)
    assert not list(tmp_path.glob("out.jsonl.*")), "parts and rejects are gone"


def test_lines_at_fault_keep_their_place_and_are_reported_by_number(model: Path, tmp_path: Path):
    source = tmp_path / "in.jsonl"
    bad = {
        2: (b"not json", "not JSON"),
        4: (b"[1]", "expected an object"),
        5: (b'{"text": "x"}', "source: expected a string, it is missing"),
        6: (b'{"source": 5}', "source: expected a string, found 5"),
        7: (b'{"source": "x", "k": 0}', "k: expected an integer of 1 or more, found 0"),
        8: (b'{"source": "x", "k": true}', "k: expected an integer of 1 or more, found true"),
        9: (b"", "blank"),
        10: (b'{"source": "\xff"}', "not JSON"),
    }
    good = b'{"source": "good"}'
    source.write_bytes(b"\n".join(bad[n][0] if n in bad else good for n in range(1, 12)) + b"\n")
    summary = transform(BatchRequest(str(model), str(source), str(tmp_path / "out")))
    assert (summary.lines, summary.rejected) == (11, len(bad))
    found = results(tmp_path / "out")
    assert [set(row) for row in found] == [
        {"error"} if n in bad else {"prob", "label"} for n in range(1, 12)
    ]
    rejects = lines(tmp_path / "out" / "rejects.jsonl")
    assert [reject["line"] for reject in rejects] == sorted(bad)
    for reject in rejects:
        assert reject["file"] == str(source)
        assert bad[reject["line"]][1] in reject["error"]


def test_rejects_of_a_single_file_lie_beside_it(model: Path, tmp_path: Path):
    (tmp_path / "in.txt").write_bytes(b"good\nb\xe4d\n")
    transform(BatchRequest(str(model), str(tmp_path / "in.txt"), str(tmp_path / "out.jsonl")))
    (reject,) = lines(tmp_path / "out.jsonl.rejects.jsonl")
    assert reject["line"] == 2
    assert "byte 0xe4 at byte 2 of the line is not UTF-8" in reject["error"]


def test_a_folder_of_text_and_json_plain_and_gzip(model: Path, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("good\r\n\nbad\n")
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(b'{"source": "fine"}\n'))
    (folder / "c.txt").write_text("")
    transform(BatchRequest(str(model), str(folder), str(tmp_path / "out"), k=2))
    found = results(tmp_path / "out")
    close(found, rows_of(model, ["good", "", "bad", "fine"], 2))
    state = json.loads((tmp_path / "out" / "batch.json").read_text())
    assert state["complete"] is True
    placed = [(part["file"], part["first_line"], part["lines"]) for part in state["parts"]]
    assert placed == [(0, 1, 3), (1, 1, 1)]


@pytest.mark.parametrize("processes", [1, 2])
def test_many_blocks_stay_in_order(model: Path, tmp_path: Path, processes: int):
    texts = write_texts(tmp_path / "in.txt", 20_000)
    assert (tmp_path / "in.txt").stat().st_size > 3 << 20
    request = BatchRequest(
        str(model), str(tmp_path / "in.txt"), str(tmp_path / "out"), processes=processes
    )
    transform(replace(request, part_bytes=1 << 20))
    assert len(list((tmp_path / "out").glob("part-*"))) > 2
    found = results(tmp_path / "out")
    predictor = models.load(model)
    assert isinstance(predictor, models.Classifier)
    expected = [{"prob": p.probabilities, "label": p.labels} for p in predictor.predict(texts)]
    assert [row["label"] for row in found] == [row["label"] for row in expected]


KILLED = """
import os, signal, sys
from kftext.batch.__main__ import main
from kftext.batch.parts import State
from kftext.progress import Progress

recorded = 0
write, update = State.write, Progress.update

def write_and_count(self, folder):
    global recorded
    write(self, folder)
    recorded = len(self.parts)

def update_until_killed(self, *arguments, **values):
    update(self, *arguments, **values)
    if recorded == 2 and "lines" in values:
        os.kill(os.getpid(), signal.SIGKILL)

State.write, Progress.update = write_and_count, update_until_killed
main(sys.argv[1:])
"""
"""The command, killed in the middle of the third part."""


def test_a_killed_run_is_gone_on_with(model: Path, tmp_path: Path):
    texts = write_texts(tmp_path / "in.txt", 30_000)
    out = tmp_path / "out"
    flags = ["--model", str(model), "--input", str(tmp_path / "in.txt"), "--output", str(out)]
    flags += ["--part-bytes", "500000", "--processes", "1"]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *flags], capture_output=True, timeout=120
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    command = [sys.executable, "-m", "kftext.batch", *flags]
    before = {file.name: file.stat().st_mtime_ns for file in out.glob("part-*")}
    state = json.loads((out / "batch.json").read_text())
    assert not state["complete"]
    recorded = [part["name"] for part in state["parts"]]
    assert len(recorded) == 2
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["lines"] == len(texts)
    assert summary["resumed_lines"] == sum(part["lines"] for part in state["parts"]) > 0
    for name in recorded:
        assert (out / name).stat().st_mtime_ns == before[name], "a complete part is not redone"
    predictor = models.load(model)
    assert isinstance(predictor, models.Classifier)
    expected = [prediction.labels for prediction in predictor.predict(texts)]
    assert [row["label"] for row in results(out)] == expected
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(again.stdout)["resumed_lines"] == len(texts)


ENDLESS = """
import itertools, multiprocessing, sys
from pathlib import Path
from kftext import models
from kftext.batch.records import InputFormat
from kftext.batch.workers import Question, Task, predict_all

if __name__ == "__main__":
    model = Path(sys.argv[1])
    question = Question(model, models.Output.LABELS, 1, 0.0)
    tasks = (Task(0, number, b"good", InputFormat.TEXT) for number in itertools.count(1))
    for piece in predict_all(models.load(model), question, tasks, 2):
        if piece.number == 1:
            print(*(child.pid for child in multiprocessing.active_children()), flush=True)
"""


def test_a_killed_run_takes_its_processes_along(model: Path, tmp_path: Path):
    (tmp_path / "endless.py").write_text(ENDLESS)
    command = [sys.executable, str(tmp_path / "endless.py"), str(model / "model.bin")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        workers = [int(word) for word in process.stdout.readline().split()]
        assert workers
        assert all(is_running(worker) for worker in workers)
        process.kill()
    wait_for(lambda: not any(is_running(worker) for worker in workers))


def is_running(process: int) -> bool:
    """Whether there is such a process, one that has ended and waits for its parent apart."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_results_of_something_else_are_not_mixed_in(model: Path, tmp_path: Path):
    write_texts(tmp_path / "in.txt", 10)
    request = BatchRequest(str(model), str(tmp_path / "in.txt"), str(tmp_path / "out"))
    transform(request)
    with pytest.raises(UsageError, match=r"another k \(1, now 2\)"):
        transform(replace(request, k=2))
    write_classifier(model, weight=3.0)
    with pytest.raises(UsageError, match="another model"):
        transform(request)
    write_classifier(model)
    transform(request)
    texts = write_texts(tmp_path / "in.txt", 11)
    with pytest.raises(UsageError, match="another input"):
        transform(request)
    # As long as before, and not the same.
    content = (tmp_path / "in.txt").read_text()
    (tmp_path / "in.txt").write_text("".join(text + "\n" for text in reversed(texts[:10])))
    assert content != (tmp_path / "in.txt").read_text()
    with pytest.raises(UsageError, match="another input"):
        transform(request)
    (tmp_path / "out" / "batch.json").write_text("{}")
    with pytest.raises(UsageError, match="not the state of a batch transform"):
        transform(request)


def test_word_vectors_sentences_and_neighbours(tmp_path: Path):
    vectors = write_vectors(tmp_path / "model", subwords=False)
    predictor = models.load(vectors)
    assert isinstance(predictor, models.WordVectors)
    (tmp_path / "in.txt").write_text("king\nunknown\n")
    request = BatchRequest(str(vectors), str(tmp_path / "in.txt"), str(tmp_path / "a.jsonl"))
    transform(request)
    found = lines(tmp_path / "a.jsonl")
    assert [row["word"] for row in found] == ["king", "unknown"]
    assert found[0]["vector"] == pytest.approx(predictor.vector("king").tolist())
    assert found[1]["vector"] == [0, 0, 0, 0]
    (tmp_path / "in2.txt").write_text("king queen\n")
    sentences = replace(
        request,
        input=str(tmp_path / "in2.txt"),
        output=str(tmp_path / "b.jsonl"),
        results="sentence_vectors",
    )
    transform(sentences)
    (row,) = lines(tmp_path / "b.jsonl")
    assert row["vector"] == pytest.approx(predictor.sentence_vector("king queen").tolist())
    transform(replace(request, output=str(tmp_path / "c.jsonl"), results="nearest_neighbors", k=2))
    row = lines(tmp_path / "c.jsonl")[0]
    assert len(row["neighbors"]) == 2
    assert row["neighbors"][0]["word"] == "queen"
    with pytest.raises(UsageError, match="'labels': expected vectors or sentence_vectors"):
        transform(replace(request, results="labels"))


def test_an_archive_is_a_model_too(model: Path, tmp_path: Path):
    packaging.pack(model, tmp_path / "model.tar.gz")
    (tmp_path / "in.txt").write_text("good\n")
    request = BatchRequest(str(tmp_path / "model.tar.gz"), str(tmp_path / "in.txt"), "results")
    transform(replace(request, output=str(tmp_path / "out.jsonl")))
    close(lines(tmp_path / "out.jsonl"), rows_of(model, ["good"]))


def test_object_storage(model: Path, tmp_path: Path, s3):
    s3.put("models/m/model.bin", (model / "model.bin").read_bytes())
    s3.put("in/a.jsonl", b'{"source": "good"}\n{"source": "bad"}\n')
    s3.put("in/b.txt", b"fine\n\xff\n")
    request = BatchRequest(s3.uri("models/m"), s3.uri("in/"), s3.uri("out/"))
    summary = transform(request)
    assert (summary.files, summary.lines, summary.rejected) == (2, 4, 1)
    found = [s3.get(f"out/part-0000{n}.jsonl").splitlines() for n in range(2)]
    close(
        [json.loads(line) for part in found for line in part if b"error" not in line],
        rows_of(model, ["good", "bad", "fine"]),
    )
    assert json.loads(s3.get("out/rejects.jsonl"))["line"] == 2
    assert transform(request).resumed_lines == 4
    transform(replace(request, output=s3.uri("one.jsonl")))
    assert s3.get("one.jsonl") == b"".join(b"\n".join([*part, b""]) for part in found)


def test_errors(model: Path, tmp_path: Path):
    (tmp_path / "in.jsonl").write_text("good\nbad\n")
    request = BatchRequest(str(model), str(tmp_path / "in.jsonl"), str(tmp_path / "out"))
    with pytest.raises(DataError, match=r"in\.jsonl:1: none of 2 lines can be predicted"):
        transform(request)
    (tmp_path / "bad.txt.gz").write_bytes(gzip.compress(b"good\n" * 10_000)[:-10])
    with pytest.raises(DataError, match="gzip stream is cut off"):
        transform(replace(request, input=str(tmp_path / "bad.txt.gz"), output=str(tmp_path / "o")))
    assert not list((tmp_path / "o").glob("part-*"))
    with pytest.raises(StorageError, match="no such file or folder"):
        transform(replace(request, input=str(tmp_path / "missing.txt")))
    with pytest.raises(UsageError, match="lies in the input"):
        replace(request, input=str(tmp_path))
    for name, value in {"k": -1, "threshold": 2.0, "processes": -1, "part_bytes": 0}.items():
        with pytest.raises(UsageError, match=f"{name}="):
            replace(request, **{name: value})
    with pytest.raises(UsageError, match="expected one of auto, jsonlines, text"):
        InputFormat.parse("csv")


def test_an_overlong_line_is_a_line_at_fault(model: Path, tmp_path: Path):
    (tmp_path / "in.txt").write_bytes(b"good\n" + b"x" * (17 << 20) + b"\nbad\n")
    summary = transform(
        BatchRequest(str(model), str(tmp_path / "in.txt"), str(tmp_path / "out"), processes=1)
    )
    assert (summary.lines, summary.rejected) == (3, 1)
    assert [set(row) for row in results(tmp_path / "out")][1] == {"error"}
    assert lines(tmp_path / "out" / "rejects.jsonl")[0]["line"] == 2


def test_the_command(model: Path, tmp_path: Path, capfd):
    (tmp_path / "in.txt").write_text("good\nbad\n")
    arguments = ["--model", str(model), "--input", str(tmp_path / "in.txt")]
    assert run(main, [*arguments, "--output", str(tmp_path / "out.jsonl"), "--k", "2"]) == 0
    said = capfd.readouterr()
    assert json.loads(said.out)["lines"] == 2
    assert "Predicting: 100%" in said.err
    assert run(main, [*arguments, "--output", str(tmp_path / "x"), "--k", "-2"]) == 2
    assert run(main, ["--model", str(tmp_path / "none"), *arguments[2:], "--output", "x"]) == 1
    assert "Traceback" not in capfd.readouterr().err
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--output", "x", "--format", "csv"])
    assert end.value.code == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_an_output_that_cannot_be_written_fails_first(model: Path, tmp_path: Path):
    write_texts(tmp_path / "in.txt", 10)
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(StorageError):
        transform(BatchRequest(str(model), str(tmp_path / "in.txt"), str(tmp_path / "out")))
