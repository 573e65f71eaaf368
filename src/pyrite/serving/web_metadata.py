"""EXIF and XMP in a browser: ExifReader, and sax for the XML, as packages of npm."""

from collections.abc import Callable
from pathlib import Path

from pyrite.serving.npm import NpmPackage, read_package

EXIF = NpmPackage(
    name="exifreader",
    version="4.46.0",
    sha512="92c1d3a635ca5b36dc918f9b62519aa261b41286c726468c58b83938f6f39533"
    "dd6b4e05d9d7eb0df612cfc8803e9fe45d851241d20d05523a9c202343c3d0fd",
    home="dist",
    option="--metadata",
)
XML = NpmPackage(
    name="sax",  # Workers, in which the page reads files, have no parser of their own.
    version="1.6.1",
    sha512="e36b415702d69da42f5b9cdce076d9ad3b9671c1020997c18bdd850eec2dab16"
    "ac1fe25b3c1dff14e29bd66db6d8ae364785b1bb1cf332c4ecc1fce0b52bbae1",
    home="lib",
    option="--xml",
)

_FILES = {
    EXIF: {"exif-reader.js": "be7e639e6c0824c884aa2619898af7e43597c389b2efade0d447a7e61661a8b9"},
    XML: {"sax.js": "1cdc1270d987cb0f6ee66dd8efb01c50511aa14d17b6163bbbffb21df8cf1c06"},
}


def read_parsers(
    exif: Path | None = None,
    xml: Path | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, bytes]:
    """Return the files that a page needs to read metadata, by their names; see `read_package`.

    Args:
        exif: The package exifreader, where it is not to be fetched.
        xml: The package sax, in the same way.
        progress: Told how many bytes of a download are here, and how many there are.

    Raises:
        PyriteError: One cannot be had or read, or is another than the one that is known.
    """
    sources = {EXIF: exif, XML: xml}
    found: dict[str, bytes] = {}
    for package, files in _FILES.items():
        found |= read_package(package, files, sources[package], progress)
    return found
