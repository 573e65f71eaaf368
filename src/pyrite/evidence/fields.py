"""What a container says of its image, as plain text: EXIF, XMP and PNG text, whoever wrote it."""

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from xml.parsers import expat

from PIL import ExifTags
from PIL import Image as PillowImage

from pyrite.evidence.container import find_gif_xmp
from pyrite.image import Image

MAX_TEXT = 2_000_000
"""Characters; no known generator writes as much into one field."""
MAX_SHOWN = 2_000
"""Characters of one text that are passed on."""

_MAX_DEPTH = 100

_MAIN = {
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.Artist,
    ExifTags.Base.DateTime,
}
_PHOTO = {
    ExifTags.Base.ExposureTime,
    ExifTags.Base.FNumber,
    ExifTags.Base.ISOSpeedRatings,
    ExifTags.Base.DateTimeOriginal,
    ExifTags.Base.FocalLength,
    ExifTags.Base.LensModel,
    ExifTags.Base.UserComment,
}
_EXIF = b"Exif\0\0"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns# "


def read_exif(image: Image) -> dict[str, str | float]:
    """Return EXIF tags by name, those that anything here asks for; damaged EXIF says nothing."""
    try:
        found = load_exif(find_exif(image))
    except ValueError:
        return {}
    values = {tag.name: _exif_value(value) for tag, value in found.items()}
    return {name: value for name, value in values.items() if value is not None and value != ""}


def find_exif(image: Image) -> bytes:
    """Return the file's EXIF, which is the inside of a TIFF file; empty where there is none."""
    # A TIFF file has the very structure that EXIF has.
    block = image.data if image.format == "TIFF" else image.info.get("exif")
    return block.removeprefix(_EXIF).removeprefix(_EXIF) if isinstance(block, bytes) else b""


def load_exif(block: bytes) -> dict[ExifTags.Base, Any]:
    """Return the tags that anything here asks for, as Pillow gives them, which keeps silent about some damage.

    Raises:
        ValueError: It is damaged.
    """
    if not block:
        return {}
    try:
        exif = PillowImage.Exif()
        exif.load(block)
        photo = exif.get_ifd(ExifTags.IFD.Exif)
        found = {tag: exif.get(tag) for tag in _MAIN} | {tag: photo.get(tag) for tag in _PHOTO}
        # It belongs into the photo's directory, but some programs write it into the main one.
        comment = found[ExifTags.Base.UserComment] or exif.get(ExifTags.Base.UserComment)
    except Exception as error:  # Pillow raises nearly anything on damaged EXIF.
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return found | {ExifTags.Base.UserComment: comment}


def _exif_value(value: Any) -> str | float | None:
    if isinstance(value, tuple) and value:
        value = value[0]
    if isinstance(value, bytes):
        return _comment(value[: 2 * MAX_TEXT])
    if isinstance(value, str):
        # Pillow reads Latin-1, but what is written today is UTF-8.
        text = value[:MAX_TEXT]
        with suppress(UnicodeError):
            text = text.encode("latin-1").decode("utf-8")
        return text.strip("\0 \t\r\n")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def _comment(value: bytes) -> str:
    """Decode a UserComment: eight bytes name the character set."""
    charset, text = value[:8], value[8:]
    if charset.rstrip(b"\0 ") == b"UNICODE":
        # Which byte comes first is not written down: Latin letters have their zero in one place.
        little = text[1::2].count(0) > text[::2].count(0)
        return text.decode("utf-16-le" if little else "utf-16-be", "replace").strip("\0 \t\r\n")
    if charset.rstrip(b"\0 ") not in (b"ASCII", b""):
        text = value
    return text.decode("utf-8", "replace").strip("\0 \t\r\n")


def read_texts(image: Image) -> dict[str, str]:
    """Return the text chunks of a PNG file by keyword, without XMP."""
    if image.format != "PNG":
        return {}
    return {
        key: str(value)[:MAX_TEXT]
        for key, value in image.info.items()
        if isinstance(key, str) and isinstance(value, str) and key not in ("xmp", "XML:com.adobe.xmp")
    }


def read_xmp(image: Image) -> dict[str, str]:
    """Return the XMP properties of the image itself, as `namespace name` → the first value.

    Properties of anything nested, such as an ingredient or a step of the history, are not the image's own.
    Damaged XMP says nothing.
    """
    try:
        return load_xmp(find_xmp(image))
    except ValueError:
        return {}


def find_xmp(image: Image) -> bytes:
    """Return the file's XMP packet, empty where there is none."""
    packet = image.info.get("xmp", image.info.get("XML:com.adobe.xmp"))
    if image.format == "GIF":
        packet = find_gif_xmp(image.data or b"")
    if isinstance(packet, str):
        packet = packet.encode("utf-8", "replace")
    return packet.strip(b"\0 \t\r\n") if isinstance(packet, bytes) else b""


def load_xmp(packet: bytes) -> dict[str, str]:
    """Return the properties of an XMP packet, as `read_xmp` does.

    Raises:
        ValueError: It is damaged, too long, or has a document type declaration, which it has no use for, but an
            attack has.
    """
    if not packet:
        return {}
    if len(packet) > MAX_TEXT:
        raise ValueError(f"it has more than {MAX_TEXT:,} bytes")
    reader = _XmpReader()
    try:
        reader.parser.Parse(packet, True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from error
    return {name: value.strip() for name, value in reader.properties.items()}


class _XmpReader:
    """Collects properties from where the Resource Description Framework has them, and nowhere else."""

    def __init__(self) -> None:
        self.properties: dict[str, str] = {}
        self._path: list[str] = []
        self._text: list[str] = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.CharacterDataHandler = self._text.append
        self.parser.EndElementHandler = self._end

    def _refuse(self, *_: object) -> None:
        raise ValueError("it has a document type declaration")

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._path.append(name)
        if len(self._path) > _MAX_DEPTH:
            raise ValueError("its elements are nested too deep")
        self._text.clear()
        place = self._place()
        if place == []:
            for key, value in attributes.items():
                self.properties.setdefault(key, value)
        elif place is not None and len(place) == 1 and _RDF + "resource" in attributes:
            self.properties.setdefault(place[0], attributes[_RDF + "resource"])

    def _end(self, _: str) -> None:
        place = self._place()
        text = "".join(self._text)
        self._text.clear()
        self._path.pop()
        if place and text.strip() and (len(place) == 1 or (len(place) == 3 and place[2] == _RDF + "li")):
            self.properties.setdefault(place[0], text)

    def _place(self) -> list[str] | None:
        """Return the path below the image's own description, four steps at most; `None` outside of one."""
        start = 1 if self._path[:1] == ["adobe:ns:meta/ xmpmeta"] else 0
        if self._path[start : start + 2] != [_RDF + "RDF", _RDF + "Description"]:
            return None
        return self._path[start + 2 : start + 6]


def read_json(text: str) -> Any:
    """Return what a text holds as JSON, or `None`."""
    if not text:  # As in nearly every file, and an exception takes its time.
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def plain(text: object, limit: int = MAX_SHOWN) -> str:
    """Return a text that is safe to show: of bounded length, without control characters or half a character."""
    cut = str(text)[:limit] if isinstance(text, str | int | float) else ""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in cut).strip()


def tidy(details: Mapping[str, object]) -> dict[str, Any]:
    """Return details that any JSON writer takes, of bounded size, without those that are empty."""
    cleaned = {plain(key, 100): _tidy(value, 4) for key, value in details.items()}
    return {key: value for key, value in cleaned.items() if value not in (None, "", [], {})}


def _tidy(value: object, depth: int) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Mapping) and depth:
        return {plain(key, 100): _tidy(item, depth - 1) for key, item in list(value.items())[:50]}
    if isinstance(value, list | tuple) and depth:
        return [_tidy(item, depth - 1) for item in value[:50]]
    return plain(value)
