"""Formats by content: what a file is, and which of Pillow's plugins reads it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from pyrite.errors import ImageError
from pyrite.image.files import File, open_file
from pyrite.image.values import Limits


class _FirstOfAvif(AvifImageFile):
    """Its first frame alone: the decoder and its buffers are let go before there is a canvas too."""

    def load_prepare(self) -> None:
        # Should Pillow come to call it something else, it is let go later, and nothing is lost but memory.
        self.__dict__.pop("_decoder", None)
        super().load_prepare()


class _FirstOfWebP(WebPImageFile):
    """Its first frame alone, likewise."""

    def load_prepare(self) -> None:
        self.__dict__.pop("_decoder", None)
        super().load_prepare()


# The plugins themselves: `PIL.Image.open` would try others as well, and has a limit of its own.
PLUGINS: Mapping[str, Callable[[BinaryIO], ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WEBP": _FirstOfWebP,
    "AVIF": _FirstOfAvif,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
}

FORMATS = (*PLUGINS, "HEIF")
"""What is decoded, recognised by content and never by a file's extension."""

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
_STARTS: Mapping[str, tuple[bytes, ...]] = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_JXL = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_BMP_HEADERS = {12, 40, 52, 56, 64, 108, 124}
_HEAD = 256  # bytes

_MAX_SCANS = 200  # of a JPEG; the usual progressive one has 10.
_MAX_PROFILES = 16  # of a PNG, which may have one; the letters may turn up by chance too.


def recognise(file: File, limits: Limits = Limits()) -> str:
    """Return which of `FORMATS` this is.

    Raises:
        ImageError: `empty`, `unsupported_format`, or `corrupt` for one that would keep a decoder busy for hours.
    """
    file.seek(0)
    head = file.read(_HEAD)
    if not head:
        raise ImageError("empty", "The file is empty.")
    name = sniff(head)
    if name is None:
        sentence = f"This is not an image in a supported format ({', '.join(FORMATS)})."
        if head.startswith(_JXL):
            sentence = "Pyrite does not decode the pixels of JPEG XL. Convert the image to PNG to have them judged."
        raise ImageError("unsupported_format", sentence)
    if limits.formats is not None and name not in limits.formats:
        sentence = f"This is an image in {name}; here, only {', '.join(limits.formats)} are read."
        raise ImageError("unsupported_format", sentence)
    _check_structure(name, file)
    return name


def read_jxl(source: object, limits: Limits) -> bytes:
    """Return the bytes of a JPEG XL file, and none of any other, or of what cannot be read twice.

    Raises:
        ImageError: As `open_file` does.
    """
    if not isinstance(source, str | Path | bytes):
        return b""
    with open_file(source, limits) as file:
        return file.read_all() if file.read(_HEAD).startswith(_JXL) else b""


def sniff(head: bytes) -> str | None:
    """Return which of `FORMATS` a file is that begins so; `None` for none."""
    for name, starts in _STARTS.items():
        if head.startswith(starts):
            return name
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head[4:8] == b"ftyp":
        end = min(int.from_bytes(head[:4], "big"), _HEAD)
        brands = {head[8:12], *(head[i : i + 4] for i in range(16, end, 4))}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIF" if brands & _HEIF_BRANDS else None
    return None


def _check_structure(name: str, file: File) -> None:
    """Refuse small files that would keep a decoder busy for hours; both counts are far above any honest file's."""
    # Each scan goes over the whole image. By chance, the marker is in 1 of 65,536 bytes after the image.
    if name == "JPEG" and file.count(b"\xff\xda") > _MAX_SCANS + file.size // 32_768:
        raise ImageError("corrupt", "The image is damaged or malicious: it has far too many scans.")
    if name == "PNG" and file.count(b"iCCP") > _MAX_PROFILES:
        raise ImageError("corrupt", "The image is damaged or malicious: it has far too many colour profiles.")
