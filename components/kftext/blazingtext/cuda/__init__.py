"""Word2Vec on NVIDIA GPUs, in Python compiled by numba-cuda.

`device` chooses a GPU and says why there is none, `memory` foresees what a run needs, `launch` how many streams train at once, `training`
is the run, `replicas` several GPUs of one host, `resources` prints what the compiled kernels take. Nothing here is imported unless a
GPU is asked for.
"""
