"""What a file says of itself: content credentials, traces of generators, and the camera's own notes."""

from pyrite.evidence.camera import read_camera
from pyrite.evidence.credentials import check_trust_anchors, missing_readers, read_credentials
from pyrite.evidence.generator import read_generator
from pyrite.evidence.read import read_evidence

__all__ = [
    "check_trust_anchors",
    "missing_readers",
    "read_camera",
    "read_credentials",
    "read_evidence",
    "read_generator",
]
