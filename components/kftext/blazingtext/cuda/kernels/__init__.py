"""Word2Vec's hot loops on a GPU: the twins of `kftext.blazingtext.kernels`, under the same names.

A warp trains a stream of lines, its lanes the dimensions of a row. `shape` is what a kernel is compiled for, `warp` all that
concerns more lanes than one (with a twin for numba's simulator), `sampling` the random draws, `window` the words around the one at
hand, `logistic` the training step. The other modules are one kernel each. They import numpy, numba and numba-cuda alone.
"""
