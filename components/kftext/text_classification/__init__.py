"""Text classification by transfer learning with TensorFlow: a pretrained encoder, dropout, and a dense layer.

python -m kftext.text_classification.train --train data/ --model-dir model/ --model-id tensorflow-tc-albert-en-base
python -m kftext.text_classification.defaults tensorflow-tc-albert-en-base
python -m kftext.text_classification.mirror --output s3://models/mirror tensorflow-tc-albert-en-base
"""
