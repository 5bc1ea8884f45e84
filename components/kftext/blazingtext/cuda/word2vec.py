"""Word2Vec on one or several GPUs of a host: the twin of `kftext.blazingtext.word2vec`, with the same result.

training = CudaWord2VecTraining(corpus, vocabulary.counts, hyperparameters, devices=find_devices(), seed=1)
while training.position.epoch < hyperparameters.epochs:
    training.run_epoch()
matrices = training.finish()
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kftext.blazingtext.cuda.chunks import Column, cut_chunks
from kftext.blazingtext.cuda.device import Device, require_numba_cuda, why_not
from kftext.blazingtext.cuda.kernels.state import Lines, Sampling, Schedule
from kftext.blazingtext.cuda.kernels.state import Subwords as DeviceSubwords
from kftext.blazingtext.cuda.launch import KERNELS, most_streams, plan_streams, shape_for
from kftext.blazingtext.cuda.replica import Program
from kftext.blazingtext.cuda.run import CudaRun, RunPlan
from kftext.blazingtext.encoded import EncodedCorpus, Int64Array
from kftext.blazingtext.hogwild import EpochRecord
from kftext.blazingtext.hyperparameters import Word2VecHyperparameters
from kftext.blazingtext.kernels.sampling import build_alias_table, keep_thresholds
from kftext.blazingtext.subwords import Subwords
from kftext.blazingtext.word2vec import check_inputs, initial_bound, negative_power
from kftext.errors import UsageError

__all__ = ["CudaWord2VecTraining"]


class CudaWord2VecTraining(CudaRun):
    """A run that can be looked at between epochs, and put away and taken up again, as `word2vec.Word2VecTraining`.

    Args:
        corpus, counts, hyperparameters, subwords, seed: as there.
        devices: GPUs, one replica each. The same one twice has two replicas.

    Raises:
        UsageError: arguments that don't fit one another, or that a GPU can't train.
        ResourceError: not enough memory, on the host or on a GPU.
    """

    def __init__(
        self,
        corpus: EncodedCorpus,
        counts: Int64Array,
        hyperparameters: Word2VecHyperparameters,
        subwords: Subwords | None = None,
        *,
        devices: Sequence[Device],
        seed: int = 0,
    ):
        require_numba_cuda()
        check_inputs(corpus, counts, hyperparameters, subwords)
        if reason := why_not(hyperparameters):
            raise UsageError(f"device=cuda: {reason}")
        if not devices:
            raise UsageError("training on a GPU needs at least one device")
        self.hyperparameters = hyperparameters
        self.curve: list[EpochRecord] = []
        shape = shape_for(hyperparameters)
        chunks = cut_chunks([Column(corpus.ids, corpus.line_offsets)], len(devices))
        keep = keep_thresholds(counts, corpus.token_count, hyperparameters.sampling_threshold)
        bears = most_streams(counts, keep, hyperparameters, subwords)
        negatives: npt.NDArray[np.uint64] = build_alias_table(
            np.maximum(counts, 1) ** negative_power(hyperparameters)
        ).entries
        tokens = hyperparameters.epochs * int(corpus.line_offsets[-1])
        tables = (
            Sampling(keep, negatives),
            DeviceSubwords(
                subwords.offsets if subwords else np.zeros(1, np.int64),
                subwords.rows if subwords else np.zeros(1, np.int32),
            ),
            Schedule(hyperparameters.learning_rate, tokens / len(devices)),
        )
        kernel = KERNELS[hyperparameters.mode](shape)
        plan = RunPlan(
            program=Program(kernel, shape, Lines, chunks, tables),
            rows=(subwords.row_count if subwords else len(counts), len(counts)),
            limits=[plan_streams(device, shape, bears, chunks.most_tokens) for device in devices],
            epochs=hyperparameters.epochs,
            learning_rate=hyperparameters.learning_rate,
            bound=initial_bound(hyperparameters),
        )
        super().__init__(plan, devices, seed)
