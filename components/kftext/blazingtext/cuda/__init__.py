"""Word2Vec and the classifier on NVIDIA GPUs, in Python compiled by numba-cuda.

`device` chooses GPUs and says why there is none, `memory` foresees what a run needs, `launch` how many streams train at once.
`word2vec` and `supervised` say what is trained, `run` is the run, `chunks` the text on its way, `replica` the part on one GPU, `averaging` brings several
together, `resources` prints what the compiled kernels take. Nothing but `device` is imported unless a GPU trains.
"""
