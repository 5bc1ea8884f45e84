"""Step: check a text data set before money is spent on training with it.

python -m kftext.validation --data train.txt --format labeled-text --report report.html
"""
