"""Datasets of real and AI images: opening, splitting, decoding, and making toy ones."""

from pyrite.datasets.arrays import Canvases, in_chunks, read_images
from pyrite.datasets.dataset import Dataset
from pyrite.datasets.decode import Decoded, Progress, Watch, content_hashes, content_sha256, decode
from pyrite.datasets.labelling import Labelling
from pyrite.datasets.membership import recognise, remember
from pyrite.datasets.split import Fractions, Protocol, Split, split
from pyrite.datasets.toy import make_toy

__all__ = [
    "Canvases",
    "Dataset",
    "Decoded",
    "Fractions",
    "Labelling",
    "Progress",
    "Protocol",
    "Split",
    "Watch",
    "content_hashes",
    "content_sha256",
    "decode",
    "in_chunks",
    "make_toy",
    "read_images",
    "recognise",
    "remember",
    "split",
]
