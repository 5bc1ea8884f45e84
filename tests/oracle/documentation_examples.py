"""The examples of fastText's documentation: text classification, word representations, nearest neighbours, analogies, quantization.

    python documentation_examples.py TRAIN VALID CORPUS FOLDER

Written for the `fasttext` package, with smaller numbers than the documentation's so that it takes seconds. The last line that it
prints is a JSON object of what came out.
"""

import json
import sys

import fasttext
import fasttext.util

train, valid, corpus, folder = sys.argv[1:]
quiet = {"verbose": 0, "thread": 10}
answers = {}

# Text classification
model = fasttext.train_supervised(
    input=train, lr=1.0, epoch=5, wordNgrams=2, bucket=20000, dim=10, loss="softmax", **quiet
)
model.save_model(folder + "/model_cooking.bin")
model = fasttext.load_model(folder + "/model_cooking.bin")
answers["predict"] = model.predict("Which baking dish is best to bake a banana bread ?")
answers["predict k"] = model.predict("Why not put knives in the dishwasher?", k=5)
answers["predict list"] = model.predict(
    ["Which baking dish is best ?", "Why not put knives in the dishwasher?"], k=3
)
answers["test"] = model.test(valid)
answers["test k"] = model.test(valid, k=5)
answers["test_label"] = model.test_label(valid)["__label__baking"]
answers["words"] = model.words[:5]
answers["labels"] = model.labels[:5]
answers["is_quantized"] = model.is_quantized()
answers["words of a classifier"] = len(model.get_words(include_freq=True)[0])

# Multi-label classification: one against all
one_against_all = fasttext.train_supervised(
    input=train, lr=0.5, epoch=5, wordNgrams=2, bucket=20000, dim=10, loss="ova", **quiet
)
answers["ova"] = one_against_all.predict(
    "Which baking dish is best to bake a banana bread ?", k=-1, threshold=0.05
)

# Model compression
model.quantize(input=train, qnorm=True, retrain=True, cutoff=10000, **quiet)
answers["test quantized"] = model.test(valid)
model.save_model(folder + "/model_cooking.ftz")
answers["is_quantized after"] = fasttext.load_model(folder + "/model_cooking.ftz").is_quantized()

# Word representations
for kind in ("skipgram", "cbow"):
    model = fasttext.train_unsupervised(
        corpus, model=kind, minn=2, maxn=5, dim=10, epoch=1, minCount=5, bucket=20000, **quiet
    )
    model.save_model(f"{folder}/{kind}.bin")
model = fasttext.load_model(folder + "/skipgram.bin")
answers["words of the corpus"] = [sorted(model.words), model.get_words(include_freq=True)[1][:3]]
answers["vector"] = model.get_word_vector("the")
answers["vector by index"] = model["the"]
answers["unknown word"] = model.get_word_vector("enviroment")
answers["sentence"] = model.get_sentence_vector("the king of france")
answers["dimension"] = model.get_dimension()
answers["subwords"] = model.get_subwords("enviroment")
answers["subword id"] = model.get_subword_id("<env")
answers["word id"] = model.get_word_id("neverseenword")
answers["input vector"] = model.get_input_vector(model.get_word_id("the"))
answers["matrices"] = [model.get_input_matrix().shape, model.get_output_matrix().shape]
answers["line"] = model.get_line("the king of france")
answers["tokens"] = fasttext.tokenize("the king of france")

# Nearest neighbours and analogies
answers["neighbours"] = model.get_nearest_neighbors("city")
answers["neighbours k"] = model.get_nearest_neighbors("enviroment", k=3)
answers["analogies"] = model.get_analogies("king", "man", "woman")

# Smaller vectors
fasttext.util.reduce_model(model, 5)
answers["reduced"] = [model.get_dimension(), model["the"].shape]


def plain(value):
    """Arrays as lists, tuples as lists."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def kind(value):
    """The type of a value and of what is in it, so that two packages can be compared."""
    if isinstance(value, list | tuple):
        return [type(value).__name__, sorted({json.dumps(kind(one)) for one in value})]
    return (
        f"{type(value).__name__} {value.dtype}" if hasattr(value, "dtype") else type(value).__name__
    )


print()
print(
    json.dumps({"answers": plain(answers), "kinds": {name: kind(v) for name, v in answers.items()}})
)
