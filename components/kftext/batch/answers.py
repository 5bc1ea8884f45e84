"""A model's answers as JSON Lines, named as the reference names them."""

from __future__ import annotations

import orjson

from kftext.batch.records import Records
from kftext.errors import UsageError
from kftext.models import Output, Predictor, answer_objects, ask, ask_for_json, outputs_of

__all__ = ["answer", "output_of"]


def output_of(predictor: Predictor, wanted: str) -> Output:
    """Return what a model is asked for.

    Args:
        predictor: the model.
        wanted: an `Output`'s name; "" for what the model returns when nothing is said.

    Raises:
        UsageError: the model can't answer that.
    """
    outputs = outputs_of(predictor)
    if wanted and wanted not in outputs:
        raise UsageError(f"results {wanted!r}: expected {' or '.join(outputs)} with this model")
    return Output(wanted) if wanted else outputs[0]


def answer(predictor: Predictor, output: Output, records: Records, threshold: float) -> bytes:
    """Predict a block of lines.

    Args:
        predictor: the model.
        output: what to write of each line.
        records: the lines.
        threshold: labels below this probability are left out.

    Returns:
        A line of JSON for each line: `{"error": "..."}` for one at fault.

    Raises:
        ModelFormatError: the model's numbers are not finite.
    """
    if len(records.by_k) == 1 and not records.faults:
        ((k, (_, texts)),) = records.by_k.items()
        written = ask_for_json(predictor, output, texts, k, threshold, separator=b"\n")
        if written is not None:
            return written + b"\n"
    lines = [b""] * records.count
    for index, message in records.faults.items():
        lines[index] = orjson.dumps({"error": message})
    for k, (indexes, texts) in records.by_k.items():
        # One thread: the blocks of lines are shared out among processes already.
        answers = ask(predictor, output, texts, k, threshold, threads=1)
        rows = answer_objects(output, texts, answers)
        for index, row in zip(indexes, rows, strict=True):
            lines[index] = orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)
    lines.append(b"")
    return b"\n".join(lines)
