"""EXIF: its tags, and the texts in them in whatever character set they really are."""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from PIL import ExifTags
from PIL import Image as PillowImage

from pyrite.evidence.values import MAX_TEXT, trim

Base, GPS = ExifTags.Base, ExifTags.GPS

_MAIN = (
    Base.ProcessingSoftware, Base.DocumentName, Base.ImageDescription, Base.Make, Base.Model, Base.Software,
    Base.DateTime, Base.Artist, Base.HostComputer, Base.Copyright, Base.XPTitle, Base.XPComment, Base.XPAuthor,
    Base.XPKeywords, Base.XPSubject,
)  # fmt: skip
_PHOTO = (
    Base.ExposureTime, Base.FNumber, Base.ISOSpeedRatings, Base.DateTimeOriginal, Base.DateTimeDigitized,
    Base.OffsetTimeOriginal, Base.FocalLength, Base.LensModel, Base.MakerNote, Base.UserComment, Base.ImageUniqueID,
)  # fmt: skip
_GPS = (GPS.GPSLatitude, GPS.GPSLatitudeRef, GPS.GPSLongitude, GPS.GPSLongitudeRef, GPS.GPSDateStamp, GPS.GPSTimeStamp)
_IPTC = (33723, 34377)
"""IPTC data and Photoshop's image resources, as TIFF has them."""
_PHOTO_DIRECTORY = 0x8769
"""The tag in the main directory of EXIF that tells where the photo's directory begins."""

TEXTS = tuple(tag.name for tag in (*_MAIN, *_PHOTO) if tag not in (Base.DateTime, Base.DateTimeOriginal))
"""The tags that generators have been seen to write into."""

_CHARSETS = {b"ASCII": "utf-8", b"UNICODE": "utf-16", b"JIS": "iso2022_jp", b"": "utf-8"}
_MAX_MAKER_NOTE = 200
_MAX_THUMBNAIL = 200_000
_SAMPLE = 2_000


def load_exif(block: bytes) -> dict[str, Any]:
    """Return the tags that anything here asks for, by name, as Pillow gives them; it keeps silent about some damage.

    Those of the place are under `GPS`, and raw IPTC data under `IPTC`.

    Raises:
        ValueError: It is damaged, or of a BigTIFF file.
    """
    if block[:4] in (b"II+\0", b"MM\0+"):
        raise ValueError("Pyrite does not read that of a BigTIFF file")
    try:
        exif = PillowImage.Exif()
        exif.load(block)
        photo = exif.get_ifd(ExifTags.IFD.Exif)
        found = {tag.name: exif.get(tag) for tag in _MAIN} | {tag.name: photo.get(tag) for tag in _PHOTO}
        # It belongs into the photo's directory, but some programs write it into the main one.
        for tag in (Base.UserComment, Base.MakerNote):
            found[tag.name] = found[tag.name] or exif.get(tag)
        place = exif.get_ifd(ExifTags.IFD.GPSInfo)
        found["GPS"] = {tag.name: place[tag] for tag in _GPS if tag in place}
        found["IPTC"] = [value for tag in _IPTC if isinstance(value := exif.get(tag), bytes)]
    except Exception as error:  # Pillow raises nearly anything on damaged EXIF.
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return {name: value for name, value in found.items() if value not in (None, "", b"", {}, [])}


def read_value(name: str, value: Any) -> str | float | None:
    """Return a tag's value as a text or a number; `None` where it is neither."""
    if name.startswith("XP"):
        return _read_windows(value)
    if name == Base.MakerNote.name:
        # Nearly always a camera's own, and not for others to read.
        return trim(value.decode("latin-1")) if isinstance(value, bytes) and len(value) <= _MAX_MAKER_NOTE else None
    if isinstance(value, tuple) and value:
        value = value[0]
    if isinstance(value, bytes):
        return read_comment(value[: 2 * MAX_TEXT])
    if isinstance(value, str):
        # Pillow reads Latin-1, but what is written today is UTF-8.
        try:
            raw = value[: 2 * MAX_TEXT].encode("latin-1")
        except UnicodeError:
            return trim(value)
        return read_comment(raw)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) else None


def _read_windows(value: Any) -> str:
    """Read a tag of Windows, which is UTF-16 with the lower byte first, unless who wrote it did not know."""
    if isinstance(value, tuple):
        value = bytes(item for item in value[: 2 * MAX_TEXT] if isinstance(item, int) and 0 <= item < 256)
    if isinstance(value, str):
        value = value[: 2 * MAX_TEXT].encode("latin-1", "replace")
    return read_text(value[: 2 * MAX_TEXT], "utf-16-le") if isinstance(value, bytes) else ""


def read_comment(value: bytes) -> str:
    """Decode a comment: eight bytes should name its character set, and often name another, or are not there."""
    name = value[:8].rstrip(b"\0 ").upper()
    if name in _CHARSETS and len(value) > 8:
        return read_text(value[8:], _CHARSETS[name])
    if value[:7].upper() == b"UNICODE":
        return read_text(value[7:], "utf-16")
    return read_text(value, "utf-8")


def read_text(value: bytes, told: str) -> str:
    """Decode a text that should be in the encoding `told`, but may be in any that programs confuse it with.

    Each is tried on the first part of it, and the one that gives the most letters and the least rubbish is taken.
    """
    if value[:3] == b"\xef\xbb\xbf":
        return trim(value.decode("utf-8", "replace"))
    if value[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return trim(value.decode("utf-16", "replace"))
    # Neither do some know in which of both orders bytes go.
    wide = ("utf-16-le", "utf-16-be")
    tried = dict.fromkeys((*(wide if told == "utf-16" else (told,)), "utf-8", *wide, "shift_jis", "latin-1"))
    if told != "iso2022_jp":
        del tried["shift_jis"]
    if b"\0" not in value.rstrip(b"\0") and told in ("utf-8", "utf-16") and value.isascii():
        return trim(value.decode("ascii"))
    sample = value[:_SAMPLE]
    best = max(tried, key=lambda encoding: _plausible(sample, encoding))
    return trim(value.decode(best, "replace"))


def _plausible(sample: bytes, encoding: str) -> float:
    """Return which share of a text's characters are likely, less those that are not, in an encoding."""
    if encoding.startswith("utf-16"):
        sample = sample[: len(sample) // 2 * 2]
    try:
        text = sample.decode(encoding)
    except UnicodeDecodeError as error:
        # The sample's last character may have been cut in two.
        if len(sample) < _SAMPLE - 1 or error.start < len(sample) - 4:
            return -1.0
        text = sample[: error.start].decode(encoding)
    text = text.strip("\0")
    if not text:
        return -0.5
    score = 0.0
    for c in text:
        if c in "\t\r\n" or " " <= c <= "~":
            score += 1.0
        elif c == "\0" or unicodedata.category(c) in ("Cc", "Cn", "Co", "Cs"):
            score -= 2.0
        elif encoding == "latin-1":
            score += 0.2
        else:
            # Letters of one script, as texts have them, rather than of twenty, as chance has them.
            score += 0.9 if c < "\u0250" or "\u0370" <= c <= "\u06ff" or "\u3000" <= c <= "\u30ff" else 0.6
    return score / len(text)


def check_directories(block: bytes) -> None:
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


def merge(blocks: Sequence[Mapping[str, Any]]) -> dict[str, str | float]:
    """Return the values of several blocks of EXIF by tag: of a tag that comes twice, the first that says something."""
    values: dict[str, str | float] = {}
    for block in blocks:
        for name, raw in block.items():
            value = None if name in ("GPS", "IPTC") else read_value(name, raw)
            if value is not None and value != "":
                values.setdefault(name, value)
    return values


def find_thumbnail(block: bytes) -> bytes | None:
    """Return the JPEG that the second directory of EXIF holds, if it does."""
    try:
        exif = PillowImage.Exif()
        exif.load(block)
        small = exif.get_ifd(ExifTags.IFD.IFD1)
        start, size = small.get(Base.JpegIFOffset), small.get(Base.JpegIFByteCount)
    except Exception:  # Pillow raises nearly anything on damaged EXIF.
        return None
    if not isinstance(start, int) or not isinstance(size, int) or not 0 < size <= _MAX_THUMBNAIL:
        return None
    found = block[start : start + size] if start > 0 else b""
    return found if found.startswith(b"\xff\xd8") else None
