"""Reading, writing and predicting with the models that this package trains: fastText's binaries and word2vec's vectors.

NumPy alone is needed. `load` opens any of them::

    from kftext.models import load

    classifier = load("model/")                      # a folder, a .bin, a .ftz
    classifier.predict(["an excellent movie"], k=2)  # [Prediction(labels=[...], probabilities=[...])]
"""

from kftext.models.answers import (
    Answer,
    Output,
    answer_json,
    answer_objects,
    ask,
    ask_for_json,
    default_k,
    outputs_of,
)
from kftext.models.arguments import Args, Loss, Model
from kftext.models.classifier import Classifier, Prediction
from kftext.models.dictionary import Dictionary
from kftext.models.fasttext_format import FastTextModel, read_model, write_model
from kftext.models.loading import Predictor, load
from kftext.models.matrix import DenseMatrix, QuantizedMatrix
from kftext.models.metadata import ModelMetadata
from kftext.models.text_encoder import TextEncoder
from kftext.models.word_vectors import WordVectors

__all__ = [
    "Answer",
    "Args",
    "Classifier",
    "DenseMatrix",
    "Dictionary",
    "FastTextModel",
    "Loss",
    "Model",
    "ModelMetadata",
    "Output",
    "Prediction",
    "Predictor",
    "QuantizedMatrix",
    "TextEncoder",
    "WordVectors",
    "answer_json",
    "answer_objects",
    "ask",
    "ask_for_json",
    "default_k",
    "load",
    "outputs_of",
    "read_model",
    "write_model",
]
