"""EXIF and XMP that cannot be read: the other readers take them for absent, so they are reported here."""

from collections.abc import Iterator
from typing import Literal

from pyrite.evidence.fields import find_exif, find_xmp, load_exif, load_xmp, plain
from pyrite.image import Image
from pyrite.results import Evidence, Strength

_PHOTO_DIRECTORY = 0x8769
"""The tag in the main directory of EXIF that tells where the photo's directory begins."""


def read_damage(image: Image) -> list[Evidence]:
    """Report EXIF and XMP that the file has and that cannot be read, or only in part."""
    return [
        Evidence(
            "reader", Strength.ASSERTED, None, f"The file's {name} was not read in full: {reason}.", {"unread": name}
        )
        for name, reason in _find_damage(image)
    ]


def _find_damage(image: Image) -> Iterator[tuple[str, str]]:
    try:
        block = find_exif(image)
        # An image in TIFF was opened by the same directories, and is not read twice.
        if block and image.format != "TIFF":
            load_exif(block)
            _check_directories(block)
    except ValueError as error:
        yield "EXIF", plain(str(error), 200)
    try:
        load_xmp(find_xmp(image))
    except ValueError as error:
        yield "XMP", plain(str(error), 200)


def _check_directories(block: bytes) -> None:
    """Check that the directories of EXIF are all there: Pillow reads what it can, and keeps silent.

    Raises:
        ValueError: One is cut off.
    """
    order: Literal["little", "big"] = "little" if block.startswith(b"II") else "big"
    main = int.from_bytes(block[4:8], order)
    _check_directory(block, main, order)
    count = int.from_bytes(block[main : main + 2], order)
    for at in range(main + 2, main + 2 + 12 * count, 12):
        if int.from_bytes(block[at : at + 2], order) == _PHOTO_DIRECTORY:
            _check_directory(block, int.from_bytes(block[at + 8 : at + 12], order), order)


def _check_directory(block: bytes, at: int, order: Literal["little", "big"]) -> None:
    count = int.from_bytes(block[at : at + 2], order)
    if at + 2 + 12 * count > len(block):
        raise ValueError("a directory is cut off")
