"""Word2Vec on NVIDIA GPUs, in Python compiled by numba-cuda.

`device` chooses GPUs and says why there is none, `memory` foresees what a run needs, `launch` how many streams train at once, `training`
is the run, `replica` its part on one GPU, `averaging` brings several together, `resources` prints what the compiled kernels take. Nothing
but `device` is imported unless a GPU trains.
"""
