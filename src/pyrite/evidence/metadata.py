"""All that a file says in words, from wherever it stands, as one list."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pyrite.evidence import exif as exif_
from pyrite.evidence.blocks import Blocks
from pyrite.evidence.container import find_blocks
from pyrite.evidence.iptc import find_iptc, read_iptc
from pyrite.evidence.stealth import read_hidden
from pyrite.evidence.values import plain
from pyrite.evidence.xmp import first, read_packet
from pyrite.image import Image

PLACES: Mapping[str, str] = {
    "PNG text": "PNG: tEXt, zTXt and iTXt chunks, before and after the pixels",
    "EXIF data": "JPEG (every APP1), PNG (eXIf, and profiles in text chunks), WebP, TIFF, HEIC, AVIF, JPEG XL",
    "XMP": "JPEG (with Extended XMP), PNG, WebP, GIF, TIFF, HEIC, AVIF, JPEG XL",
    "IPTC data": "JPEG (APP13), PNG (profiles in text chunks), TIFF",
    "comment": "JPEG (COM) and GIF",
    "hidden text": "the lowest bits of the pixels of PNG and lossless WebP",
    "Samsung trailer": "after the end of any file",
}
"""Where texts are read, and in which files."""


@dataclass(frozen=True, slots=True)
class Field:
    """One text in a file."""

    place: str
    """One of `PLACES`."""
    name: str
    """As the container calls it: a keyword, a tag, a property without its namespace."""
    text: str
    namespace: str = ""
    """Of an XMP property."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a file says in words."""

    fields: tuple[Field, ...] = ()
    """In the order of trust: what programs write for themselves comes before what is found anywhere."""
    exif: Mapping[str, str | float] = field(default_factory=dict)
    """By tag."""
    gps: Mapping[str, object] = field(default_factory=dict)
    """By tag, as Pillow gives it."""
    thumbnail: bytes = b""
    """A small JPEG of the image, as cameras write it; empty where there is none."""
    xmp: Mapping[str, object] = field(default_factory=dict)
    """By `namespace name`; see `Packet`."""
    damage: tuple[tuple[str, str], ...] = ()
    """What could not be read in full, and why."""
    credentials: bool = False
    """Whether there is a place for content credentials."""
    size: tuple[int, int] = (0, 0)
    """Width and height of the image."""
    format: str | None = None

    def named(self, place: str) -> dict[str, str]:
        """Return the texts of a place by name; of one that comes twice, the first."""
        found: dict[str, str] = {}
        for item in self.fields:
            if item.place == place:
                found.setdefault(item.name, item.text)
        return found

    def property(self, name: str) -> str:
        """Return an XMP property by `namespace name`, or an empty text."""
        return first(self.xmp.get(name, ""))


def read_metadata(image: Image) -> Metadata:
    """Read everything; damage is kept as such, and nothing of it raises."""
    blocks = find_blocks(image)
    damage = blocks.unread
    loaded = [tags for block in blocks.exif if (tags := _load(block, image, damage))]
    values = exif_.merge(loaded)
    for tags in loaded:
        blocks.iptc += [row for raw in tags.get("IPTC", []) for row in find_iptc(raw)]
    properties: dict[str, object] = {}
    for packet in blocks.xmp:
        found = read_packet(packet)
        if found.damage:
            damage.append(("XMP", plain(found.damage, 200)))
        for name, value in found.properties.items():
            properties.setdefault(name, value)
    gps: Mapping[str, object] = next((tags["GPS"] for tags in loaded if "GPS" in tags), {})
    return Metadata(
        fields=tuple(_fields(image, blocks, values, properties)),
        exif=values,
        gps=gps,
        thumbnail=next((small for block in blocks.exif if (small := _thumbnail(block, image))), b""),
        xmp=properties,
        damage=tuple(damage),
        credentials=blocks.credentials,
        size=(image.width, image.height),
        format=image.format,
    )


def _load(block: bytes, image: Image, damage: list[tuple[str, str]]) -> dict[str, Any]:
    try:
        tags = exif_.load_exif(block)
        # An image in TIFF was opened by the same directories, and is not read twice.
        if image.format != "TIFF":
            exif_.check_directories(block)
    except ValueError as error:
        damage.append(("EXIF", plain(str(error), 200)))
        try:
            return exif_.load_exif(block)
        except ValueError:
            return {}
    return tags


def _thumbnail(block: bytes, image: Image) -> bytes:
    # The second directory of a TIFF is another page.
    return b"" if image.format == "TIFF" else exif_.find_thumbnail(block) or b""


def _fields(
    image: Image, blocks: Blocks, values: Mapping[str, str | float], properties: Mapping[str, object]
) -> Iterator[Field]:
    for place, name, text in blocks.texts:
        yield Field(place, name, text)
    for name in dict.fromkeys(("UserComment", *exif_.TEXTS)):
        tag = values.get(name)
        if isinstance(tag, str):
            yield Field("EXIF data", name, tag)
    for key, value in properties.items():
        namespace, _, name = key.rpartition(" ")
        if text := first(value):
            yield Field("XMP", name, text, namespace)
    for row in blocks.iptc:
        for name, text in read_iptc(row):
            if text:
                yield Field("IPTC data", name, text)
    for name, text in read_hidden(image).items():
        yield Field("hidden text", name, text)
