"""The hot loops: Numba kernels for the CPU.

====================================  =====================================================================================
`skipgram`, `cbow`, `batch_skipgram`  one mode of Word2Vec each
`supervised`                          the classifier, with all its losses
`features`                            how a text becomes rows of the input matrix, their mean and its gradient
`logistic`                            the step that all binary losses share: input vectors against groups of output rows
`targets`                             which output rows a word is trained against: negatives, or its Huffman path
`prefetch`                            rows asked for before they are needed
`ring`                                words made of character n-grams, kept while they are inside the window
`replica`                             a thread's own output matrix, for losses that train all labels at once
`sampling`                            the generator, the alias table, subsampling
`simd`                                sixteen numbers as one value, and the operations on them
`state`                               what kernels are handed: named tuples of arrays
`compilation`                         how kernels are compiled and cached
====================================  =====================================================================================

A kernel goes over one slice of a corpus on one thread; `kftext.blazingtext.hogwild` runs them. Nothing here checks an index: callers do.
"""
