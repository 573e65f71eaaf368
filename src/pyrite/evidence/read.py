"""All readers, one after the other."""

from collections.abc import Callable, Mapping

import numpy as np

from pyrite.evidence.camera import read_camera
from pyrite.evidence.container import is_jxl
from pyrite.evidence.credentials import read_credentials
from pyrite.evidence.damage import read_damage
from pyrite.evidence.generator import read_generator
from pyrite.evidence.history import read_history
from pyrite.evidence.metadata import Metadata, read_metadata
from pyrite.evidence.trust import Trust
from pyrite.evidence.values import plain
from pyrite.evidence.watermarks import read_watermarks
from pyrite.image import Image
from pyrite.results import Evidence, Strength

NO_PROVENANCE = (
    "No provenance found. That proves nothing: most services remove it. "
    "The original file, or an earlier copy of the image, may still have it."
)
"""What there is to say of a file without any evidence."""


def read_file_evidence(data: bytes, trust: Trust | None = None) -> list[Evidence]:
    """Return all that a file says of its origin in a format whose pixels are not decoded here: JPEG XL.

    Marks in pixels, and what needs them for comparison, are not looked for.

    Args:
        data: The file's bytes; of any other format, nothing is read.
        trust: As `read_evidence` has it.
    """
    if not is_jxl(data):
        return []
    pixels = np.empty((0, 0, 3), np.uint8)
    return read_evidence(Image(pixels, (0, 0, 0, 0), 0, 0, "JXL", None, data, {}, frames=1), trust)


def read_evidence(image: Image, trust: Trust | None = None) -> list[Evidence]:
    """Return all that the file says of its origin; a reader that fails gives a finding that says so.

    Never touches the network.

    Args:
        image: As it was opened from a file; pixels alone have no evidence.
        trust: Whose signatures count as verified; by default, the lists that come with Pyrite.
    """
    metadata = Metadata()

    def read_texts() -> list[Evidence]:
        nonlocal metadata
        metadata = read_metadata(image)
        return []

    return collect(
        {
            "text": read_texts,
            "credentials": lambda: read_credentials(image, metadata, trust),
            "generator": lambda: read_generator(metadata),
            "watermarks": lambda: read_watermarks(image),
            "camera": lambda: read_camera(metadata),
            "history": lambda: read_history(image, metadata),
            "damage": lambda: read_damage(metadata),
        }
    )


def collect(readers: Mapping[str, Callable[[], list[Evidence]]]) -> list[Evidence]:
    """Return what all readers find; one that fails gives a finding that says so.

    Args:
        readers: By the name of what each reads.
    """
    found = list[Evidence]()
    for name, read in readers.items():
        try:
            found += read()
        except Exception as error:  # A hostile file must not stop a batch.
            reason = plain(str(error), 200)
            detail = f"The file's {name} metadata could not be read: {type(error).__name__}: {reason}"
            found.append(Evidence("reader", Strength.ASSERTED, None, detail, {"unread": name}))
    return found
