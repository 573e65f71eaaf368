"""What a file holds beside its pixels, before any of it is understood."""

from dataclasses import dataclass, field

_EXIF = b"Exif\0\0"


@dataclass(slots=True)
class Blocks:
    """What a file holds beside its pixels, in the order of the file."""

    exif: list[bytes] = field(default_factory=list)
    """Each the inside of a TIFF file."""
    xmp: list[bytes] = field(default_factory=list)
    iptc: list[bytes] = field(default_factory=list)
    """Each a row of datasets (IIM)."""
    texts: list[tuple[str, str, str]] = field(default_factory=list)
    """Place, keyword and text."""
    unread: list[tuple[str, str]] = field(default_factory=list)
    """What is there and was not read, and why."""
    credentials: bool = False
    """Whether there is a place for content credentials, whatever is in it."""

    def add_exif(self, block: bytes) -> None:
        """Add a block of EXIF, however often its name stands before it."""
        while block.startswith(_EXIF):
            block = block.removeprefix(_EXIF)
        if block:
            self.exif.append(block)


def decode(text: bytes) -> str:
    """Return a text that is UTF-8, as what is written today, or else Latin-1, as the specifications have it."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
