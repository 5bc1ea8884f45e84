"""The hot loops: Numba kernels for the CPU.

`compilation` says how they are compiled and cached, `simd` is the vector type they are written in, `sampling` the random
draws, `logistic` the one step that all binary losses share. The other modules are one kernel each.
"""
