"""All readers, one after the other."""

from collections.abc import Callable
from functools import partial

from pyrite.evidence.camera import read_camera
from pyrite.evidence.credentials import read_credentials
from pyrite.evidence.damage import read_damage
from pyrite.evidence.fields import plain
from pyrite.evidence.generator import read_generator
from pyrite.image import Image
from pyrite.results import Evidence, Strength


def read_evidence(image: Image, *, trust_anchors: bytes | None = None) -> list[Evidence]:
    """Return all that the file says of its origin; a reader that fails gives a finding that says so.

    Never touches the network.

    Args:
        image: As it was opened from a file; pixels alone have no evidence.
        trust_anchors: Certificates (PEM) of authorities whose signatures are trusted.
    """
    readers: dict[str, Callable[[Image], list[Evidence]]] = {
        "credentials": partial(read_credentials, trust_anchors=trust_anchors),
        "generator": read_generator,
        "camera": read_camera,
        "damage": read_damage,
    }
    found: list[Evidence] = []
    for name, read in readers.items():
        try:
            found += read(image)
        except Exception as error:  # A hostile file must not stop a batch.
            reason = plain(str(error), 200)
            detail = f"The file's {name} metadata could not be read: {type(error).__name__}: {reason}"
            found.append(Evidence("reader", Strength.ASSERTED, None, detail, {"unread": name}))
    return found
