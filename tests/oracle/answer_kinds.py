"""What a model's methods return or raise, by type: asked of the real package's models and of ours."""

import numpy as np

QUESTIONS = {
    "predict": lambda m, text, errors: m.predict(text, 3, 0.0, errors),
    "predict list": lambda m, text, errors: m.predict([text, ""], 2, 0.0, errors),
    "predict nothing": lambda m, text, errors: m.predict(text, 1, 2.0, errors),
    "predict nothing in a list": lambda m, text, errors: m.predict([text], 1, 2.0, errors),
    "predict none": lambda m, text, errors: m.predict([], 1, 0.0, errors),
    "neighbors": lambda m, text, errors: m.get_nearest_neighbors("the", 3, errors),
    "analogies": lambda m, text, errors: m.get_analogies("the", "a", "bad", 3, errors),
    "words": lambda m, text, errors: m.get_words(True, errors),
    "labels": lambda m, text, errors: m.get_labels(True, errors),
    "subwords": lambda m, text, errors: m.get_subwords("bad", errors),
    "line": lambda m, text, errors: m.get_line(text, errors),
    "lines": lambda m, text, errors: m.get_line([text, "a"], errors),
    "input vector": lambda m, text, errors: m.get_input_vector(1),
    "input matrix": lambda m, text, errors: m.get_input_matrix(),
    "output matrix": lambda m, text, errors: m.get_output_matrix(),
    "word vector": lambda m, text, errors: m["the"],
    "sentence vector": lambda m, text, errors: m.get_sentence_vector(text),
    "k of zero": lambda m, text, errors: m.predict(text, 0),
    "newline": lambda m, text, errors: m.predict("a\nb"),
}


def kinds(model, text, errors):
    """The kind of the answer to each question about a text; `errors` says what becomes of names that are no UTF-8."""
    return {name: kind(question, model, text, errors) for name, question in QUESTIONS.items()}


def kind(question, *arguments):
    """The types of an answer, one below the other, or of the error: a ValueError's own name says nothing."""
    try:
        answer = question(*arguments)
    except ValueError as error:
        return "UnicodeDecodeError" if isinstance(error, UnicodeDecodeError) else "ValueError"
    return describe(answer)


def describe(value):
    if isinstance(value, np.ndarray):
        return [str(value.dtype), value.ndim]
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *([describe(part) for part in value[:3]])]
    return type(value).__name__
