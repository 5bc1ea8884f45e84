"""The training step: files in, a model folder out, complete or absent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kftext import storage
from kftext.blazingtext.accuracy import Accuracy
from kftext.blazingtext.blocks import count_bytes
from kftext.blazingtext.checkpoint import (
    CheckpointOptions,
    Checkpoints,
    Training,
    describe_run,
    forget,
)
from kftext.blazingtext.corpus import Reading, read_corpus, read_examples
from kftext.blazingtext.cuda.device import Device, select_devices
from kftext.blazingtext.encoded import EncodedCorpus, EncodedExamples
from kftext.blazingtext.hogwild import Hooks, Report
from kftext.blazingtext.hyperparameters import SupervisedHyperparameters, Word2VecHyperparameters
from kftext.blazingtext.log import Compilation, TrainingLog, say, watch_compilation
from kftext.blazingtext.memory import release_pages
from kftext.blazingtext.model_files import (
    OWNED_FILES,
    classifier_model,
    compose_vectors,
    word_vectors_model,
    write_classifier,
    write_json,
    write_learning_curve,
    write_word_vectors,
)
from kftext.blazingtext.subwords import Subwords, compute_subwords
from kftext.blazingtext.supervised import SupervisedTraining, Validate, ValidatedTraining
from kftext.blazingtext.supervised_data import SupervisedData
from kftext.blazingtext.vocabulary import Vocabulary, VocabularyRules
from kftext.blazingtext.warm_start import WarmStart, from_earlier_model, from_pretrained_vectors
from kftext.blazingtext.word2vec import Word2VecTraining
from kftext.cores import available_cores
from kftext.data.formats import Format, ReadOptions
from kftext.data.word_pairs import find_word_pairs
from kftext.errors import ResourceError, UsageError
from kftext.metrics.word_similarity import to_eval_json, word_similarity
from kftext.models import ModelMetadata, WordVectors
from kftext.progress import Progress

if TYPE_CHECKING:
    from kftext.blazingtext.cuda.run import CudaRun
    from kftext.blazingtext.cuda.supervised import CudaSupervisedTraining
    from kftext.blazingtext.cuda.word2vec import CudaWord2VecTraining

__all__ = ["TrainingRequest", "train"]

OnGpu = TypeVar("OnGpu", bound="CudaRun")


@dataclass(frozen=True)
class TrainingRequest:
    """What to train, on what, and where to.

    Attributes:
        train: local paths or URIs of the training data: files, folders, prefixes.
        model_dir: folder or prefix that becomes the model folder.
        hyperparameters: of the algorithm.
        format: of the data; a corpus for Word2Vec and labelled text for the classifier where it is None.
        validation: data of the same format that the classifier is tried on.
        reading: label prefix and attribute names.
        seed: of all that is random. One thread repeats bit for bit.
        threads: as many as there are processors by default.
        device: cpu; cuda: the GPUs, one for a classifier; auto: the same where there are some that can train and are expected to be
            faster, else the CPU.
        work_dir: where what does not fit in memory goes.
        memory_limit: bytes of token ids held in memory; half of what is available by default.
        initial_model: a model to go on from, with the words and labels of the new data added.
        pretrained_vectors: word vectors (word2vec text, a fastText binary or a model folder) that a classifier begins with.
        checkpoint: where and how often to save the run, or None.
        word_pairs: similarity sets that word vectors are judged on; the installed ones by default.
    """

    train: Sequence[str]
    model_dir: str
    hyperparameters: Word2VecHyperparameters | SupervisedHyperparameters
    format: Format | None = None
    validation: Sequence[str] = ()
    reading: ReadOptions = field(default_factory=ReadOptions)
    seed: int = 0
    threads: int = field(default_factory=available_cores)
    device: str = "auto"
    work_dir: str | None = None
    memory_limit: int | None = None
    initial_model: str | None = None
    pretrained_vectors: str | None = None
    checkpoint: CheckpointOptions | None = None
    word_pairs: Sequence[str] = ()


def train(request: TrainingRequest) -> ModelMetadata:
    """Train a model and write its folder.

    Raises:
        UsageError: the request contradicts itself.
        DataError: the data are at fault.
        StorageError: data can't be read, or the model folder can't be written.
        ResourceError: not enough memory or disk.
    """
    _check(request)
    devices, choice = select_devices(request.device, request.hyperparameters)
    say(choice)
    with (
        watch_compilation() as compilation,
        storage.atomic_directory(request.model_dir, OWNED_FILES) as folder,
    ):
        if isinstance(request.hyperparameters, SupervisedHyperparameters):
            metadata = _train_classifier(
                request, request.hyperparameters, devices, folder, compilation
            )
        else:
            metadata = _train_word_vectors(
                request, request.hyperparameters, devices, folder, compilation
            )
        metadata.write(folder)
    if request.checkpoint:
        forget(request.checkpoint.path)
    return metadata


def _check(request: TrainingRequest) -> None:
    hyperparameters, format = request.hyperparameters, request.format
    mode = hyperparameters.mode
    if not request.train:
        raise UsageError("no training data: expected at least one path")
    if request.initial_model and request.pretrained_vectors:
        raise UsageError("an initial model and pretrained vectors: expected one of them")
    if isinstance(hyperparameters, SupervisedHyperparameters):
        if format is Format.CORPUS:
            raise UsageError(f"mode={mode} needs labels: data of the format {format} have none")
        if hyperparameters.early_stopping and not request.validation:
            raise UsageError("early_stopping=True needs validation data")
    elif request.validation:
        raise UsageError(f"mode={mode} has no use for validation data")
    elif request.pretrained_vectors:
        raise UsageError(f"mode={mode} has no use for pretrained vectors; see the initial model")


def _reading(request: TrainingRequest, progress: Progress) -> Reading:
    return Reading(request.threads, request.work_dir, request.memory_limit, progress.update)


def _say_what_was_read(token_count: int, vocabulary: Vocabulary) -> None:
    # The reference counts in millions; of less than one it would say 0M.
    millions = token_count // 1_000_000
    say(f"Read {f'{millions}M' if millions else token_count} words")
    say(f"Number of words:  {len(vocabulary.words)}")


def _rules(request: TrainingRequest, min_count: int, warm: WarmStart | None) -> VocabularyRules:
    prefix = request.reading.label_prefix.encode()
    return VocabularyRules(min_count, prefix, warm.vocabulary if warm else Vocabulary())


def _subwords(
    hyperparameters: Word2VecHyperparameters | SupervisedHyperparameters,
    vocabulary: Vocabulary,
    unknown: Sequence[bytes] = (),
) -> Subwords | None:
    if not hyperparameters.subwords:
        return None
    lengths = hyperparameters.min_char, hyperparameters.max_char
    return compute_subwords(vocabulary.words, *lengths, hyperparameters.buckets, unknown)


def _train_word_vectors(
    request: TrainingRequest,
    hyperparameters: Word2VecHyperparameters,
    devices: Sequence[Device],
    folder: Path,
    compilation: Compilation,
) -> ModelMetadata:
    earlier = request.initial_model
    warm = from_earlier_model(earlier, hyperparameters) if earlier else None
    rules = _rules(request, hyperparameters.min_count, warm)
    with Progress(count_bytes(request.train), "B", "Reading") as progress:
        reading = _reading(request, progress)
        format = request.format or Format.CORPUS
        vocabulary, corpus = read_corpus(request.train, rules, reading, format, request.reading)
    _say_what_was_read(corpus.token_count, vocabulary)
    subwords = _subwords(hyperparameters, vocabulary)
    training = _start_word2vec(request, hyperparameters, devices, corpus, vocabulary, subwords)
    if warm:
        warm.fill(vocabulary, training.input, training.output)
    metrics = _run(request, training, vocabulary, corpus, compilation)
    matrices = training.finish()
    model = word_vectors_model(vocabulary, matrices, hyperparameters, corpus.token_count)
    files = write_word_vectors(folder, model, compose_vectors(matrices.input, subwords))
    if hyperparameters.evaluation:
        scores = _evaluate(WordVectors(model), request.word_pairs)
        write_json(folder / "eval.json", scores)
        files["evaluation"] = "eval.json"
        if scores["mean_rho"] is not None:
            metrics["mean_rho"] = scores["mean_rho"]
            say(f"#mean_rho: {scores['mean_rho']:.4f}")
    files |= write_learning_curve(folder, matrices.curve)
    return ModelMetadata(
        kind="word-vectors",
        hyperparameters=hyperparameters.model_dump(),
        metrics=metrics,
        files=files,
    )


def _start_word2vec(
    request: TrainingRequest,
    hyperparameters: Word2VecHyperparameters,
    devices: Sequence[Device],
    corpus: EncodedCorpus,
    vocabulary: Vocabulary,
    subwords: Subwords | None,
) -> Word2VecTraining | CudaWord2VecTraining:
    data, seed = (corpus, vocabulary.counts, hyperparameters, subwords), request.seed
    if devices:
        from kftext.blazingtext.cuda.launch import ends_before_a_gpu_begins
        from kftext.blazingtext.cuda.word2vec import CudaWord2VecTraining

        def start() -> CudaWord2VecTraining:
            tokens = corpus.token_count * hyperparameters.epochs
            if request.device == "auto" and ends_before_a_gpu_begins(
                hyperparameters, tokens, request.threads
            ):
                raise ResourceError("no GPU is expected to be faster on this text")
            return CudaWord2VecTraining(*data, devices=devices, seed=seed)

        on_gpu = _start_on_gpu(request, start)
        if on_gpu:
            return on_gpu
    return Word2VecTraining(*data, threads=request.threads, seed=seed)


def _start_on_gpu(request: TrainingRequest, start: Callable[[], OnGpu]) -> OnGpu | None:
    """Return what `start` returns; None where it raises ResourceError and the CPU will do."""
    try:
        training = start()
    except ResourceError as error:
        if request.device != "auto":
            raise
        say(f"Training on the CPU: {error}")
        return None
    say(f"Streams a GPU: {', '.join(str(limits.streams) for limits in training.limits)}")
    return training


def _evaluate(vectors: WordVectors, paths: Sequence[str]) -> dict[str, Any]:
    return to_eval_json(word_similarity(vectors, pairs) for pairs in find_word_pairs(paths))


def _train_classifier(
    request: TrainingRequest,
    hyperparameters: SupervisedHyperparameters,
    devices: Sequence[Device],
    folder: Path,
    compilation: Compilation,
) -> ModelMetadata:
    warm = None
    if request.initial_model:
        warm = from_earlier_model(request.initial_model, hyperparameters)
    elif request.pretrained_vectors:
        warm = from_pretrained_vectors(request.pretrained_vectors, hyperparameters.vector_dim)
    rules = replace(
        _rules(request, hyperparameters.min_count, warm), keep_unknown=hyperparameters.subwords
    )
    vocabulary, examples = _read_examples(request, request.train, rules, "Reading")
    _say_what_was_read(examples.token_count, vocabulary)

    def data_of(examples: EncodedExamples) -> SupervisedData:
        subwords = _subwords(hyperparameters, vocabulary, examples.unknown_words)
        return SupervisedData(examples, len(vocabulary.words), vocabulary.label_counts, subwords)

    data, validate = data_of(examples), None
    if request.validation:
        fixed = replace(rules, known=vocabulary, fixed=True)
        _, held_out = _read_examples(request, request.validation, fixed, "Reading validation")
        validate = Accuracy(data_of(held_out), hyperparameters, request.threads)
    training = _start_classifier(request, hyperparameters, devices, data, validate)
    if warm:
        warm.fill(vocabulary, training.input, training.output)
    metrics = _run(request, training, vocabulary, examples, compilation)
    matrices = training.finish()
    judge = Accuracy(data, hyperparameters, request.threads)
    metrics["train_accuracy"] = judge(matrices.input, matrices.output)
    metrics["train_examples"] = examples.example_count
    say(f"#train_accuracy: {metrics['train_accuracy']:.4f}")
    say(f"Number of train examples: {examples.example_count}")
    if validate:
        metrics["validation_accuracy"] = validate(matrices.input, matrices.output)
        metrics["validation_examples"] = held_out.example_count
        metrics["best_epoch"] = matrices.best_epoch
        say(f"#validation_accuracy: {metrics['validation_accuracy']:.4f}")
        say(f"Number of validation examples: {held_out.example_count}")
    model = classifier_model(
        vocabulary, matrices, hyperparameters, examples.token_count, rules.label_prefix
    )
    files = write_classifier(folder, model) | write_learning_curve(folder, matrices.curve)
    return ModelMetadata(
        kind="text-classifier",
        hyperparameters=hyperparameters.model_dump(),
        metrics=metrics,
        files=files,
    )


def _start_classifier(
    request: TrainingRequest,
    hyperparameters: SupervisedHyperparameters,
    devices: Sequence[Device],
    data: SupervisedData,
    validate: Validate | None,
) -> SupervisedTraining | CudaSupervisedTraining:
    seed, threads = request.seed, request.threads
    work_dir = Path(request.work_dir) if request.work_dir else None
    if devices:
        from kftext.blazingtext.cuda.supervised import (
            CudaSupervisedTraining,
            is_faster_than_the_cpu,
        )

        def start() -> CudaSupervisedTraining:
            if request.device == "auto" and not is_faster_than_the_cpu(
                data, hyperparameters, devices[0], threads
            ):
                raise ResourceError("no GPU is expected to be faster on these texts")
            return CudaSupervisedTraining(
                data,
                hyperparameters,
                devices=devices,
                seed=seed,
                validate=validate,
                work_dir=work_dir,
            )

        on_gpu = _start_on_gpu(request, start)
        if on_gpu:
            return on_gpu
    return SupervisedTraining(
        data, hyperparameters, threads=threads, seed=seed, validate=validate, work_dir=work_dir
    )


def _read_examples(
    request: TrainingRequest, paths: Sequence[str], rules: VocabularyRules, what: str
) -> tuple[Vocabulary, EncodedExamples]:
    format = request.format or Format.LABELED_TEXT
    with Progress(count_bytes(paths), "B", what) as progress:
        return read_examples(paths, format, rules, request.reading, _reading(request, progress))


def _run(
    request: TrainingRequest,
    training: Training,
    vocabulary: Vocabulary,
    data: EncodedCorpus | EncodedExamples,
    compilation: Compilation,
) -> dict[str, float]:
    """Train to the end, from the last checkpoint where there is one; return the first of the metrics."""
    epochs = request.hyperparameters.epochs
    checkpoints = None
    if request.checkpoint:
        run = describe_run(request.hyperparameters, request.seed, vocabulary, data.token_count)
        # The slices that are done are others on a GPU.
        if not isinstance(training, (Word2VecTraining, SupervisedTraining)):
            run["device"] = "cuda"
        checkpoints = Checkpoints(request.checkpoint, run, training)
        if checkpoints.restore():
            say(
                f"Going on from the checkpoint at {request.checkpoint.path}: "
                f"{_done(training) * epochs:.2f} of {epochs} epochs are done"
            )
    log = TrainingLog(data.token_count, epochs, compilation, _done(training))

    def on_report(report: Report) -> None:
        release_pages(data.ids)
        release_pages(data.line_offsets)
        log.on_report(report)

    hooks = Hooks(on_report)
    if checkpoints:
        hooks = checkpoints.hooks(hooks)
    while not _is_over(training):
        record = training.run_epoch(hooks)
        if record.validation_accuracy is not None:
            say(f"Epoch {record.epoch}: validation accuracy {record.validation_accuracy:.4f}")
        if checkpoints:
            checkpoints.end_of_epoch()
    metrics = log.finish(_done(training))
    metrics |= {"words": data.token_count, "vocabulary": len(vocabulary.words)}
    if training.curve and math.isfinite(training.curve[-1].loss):
        metrics["loss"] = training.curve[-1].loss
    return metrics


def _is_over(training: Training) -> bool:
    if isinstance(training, ValidatedTraining):
        return training.over
    return training.position.epoch >= training.hyperparameters.epochs


def _done(training: Training) -> float:
    """Return the share of the run that is done, 0 to 1."""
    position = training.position
    return float(position.epoch + position.done.mean()) / training.hyperparameters.epochs
