"""From a model folder to the archive that KServe and SageMaker-style hosts take, and back.

python -m kftext.packaging --model-dir model/ --output model.tar.gz
tar -xzf model.tar.gz && fasttext predict ./model.bin test.txt
"""

from kftext.packaging.packing import Archive, pack
from kftext.packaging.unpacking import unpack

__all__ = ["Archive", "pack", "unpack"]
