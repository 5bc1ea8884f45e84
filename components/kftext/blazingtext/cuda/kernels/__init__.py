"""The hot loops of Word2Vec and the classifier on a GPU: the twins of `kftext.blazingtext.kernels`, under the same names.

A warp trains a stream of lines, or of texts, its lanes the dimensions of a row.

====================================  =====================================================================================
`skipgram`, `cbow`, `batch_skipgram`  one mode each: what is done with a window
`supervised`                          the classifier: the loop over texts
`features`                            the rows of a text, their mean and its gradient
`labels`                              the losses: softmax, ova, ns, hs
`batch`, `batch_gradients`,           the pairs of a batch, and the two halves of its step
`batch_changes`
`stream`                              the loop over lines and windows that these modes have in common
`logistic`                            the training step: input vectors against groups of output rows
`targets`                             which output rows a word is trained against
`ring`                                input vectors; words made of n-grams, kept while they are inside the window
`sampling`                            the generator, the alias table, subsampling
`rows`                                reading and changing memory that other warps write
`warp`                                what concerns more lanes than one, with a twin for numba's simulator
`workspace`                           what a stream keeps where
`state`                               what is handed to and fro: named tuples
`shape`                               what a kernel is compiled for
`compilation`                         how kernels are compiled
====================================  =====================================================================================

They import numpy, numba and numba-cuda alone, so that they run on a machine that has a GPU and little else. Numba builds device
functions of constants from closures: a `build_` function returns those of a `Shape`.
"""
