"""Word2Vec and the fastText-style text classifier, as in Amazon SageMaker BlazingText.

============================  ==========================================================================
`hyperparameters`             names, defaults and valid values
`tokenizer`, `vocabulary`     text to numbers: white space, distinct tokens and their counts
`corpus`, `encoded`           files to what the trainers read: `EncodedCorpus`, `EncodedExamples`
`kernels/`                    the inner loops, compiled by Numba
`word2vec`, `supervised`      the two trainers: numbers to matrices
`training`                    the step: files to a model folder
`train`, `predict`            the command lines
`component`                   the Kubeflow Pipelines interface
============================  ==========================================================================
"""
