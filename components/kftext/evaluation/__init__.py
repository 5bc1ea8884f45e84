"""Steps that measure a trained model: word similarity for vectors, accuracy and confusion for classifiers."""
