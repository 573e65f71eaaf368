"""Files that describe the images beside them, as img2dataset and WebDataset write them."""

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any

import msgspec

from pyrite.scanning.columns import as_text, key_column
from pyrite.scanning.remote import locate, patiently

IMAGES = {
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif", ".jxl",
}  # fmt: skip
"""Suffixes of images within a tar, and of those that a caption may lie beside."""
TARS = (".tar", ".tar.gz", ".tgz")
_OF_SHARDS = {
    ".parquet": (*TARS, ".tfrecord", "/"),
    "_stats.json": (*TARS, ".tfrecord", ".parquet", "/"),
    ".idx": TARS,
    ".json": TARS,
}
"""By suffix, the shards that such a file may describe; a folder is a shard of img2dataset's `files`."""
_OF_IMAGES = (".json", ".txt", ".cls")
_OF_FOLDERS = ("README.md", "dataset_infos.json", "metadata.csv", "metadata.jsonl", "metadata.parquet")
"""What Hugging Face has beside images."""
Fields = Mapping[str, str | None]


def describes(name: str, beside: Collection[str]) -> bool:
    """Say whether a file is named as one that describes what lies beside it. A Parquet file may hold images even so.

    Args:
        name: Of the file, without its folder.
        beside: The names of all that lies in that folder, those of folders with a slash at the end.
    """
    if name in _OF_FOLDERS:
        return True
    for suffix, shards in _OF_SHARDS.items():
        if name.endswith(suffix) and any(name.removesuffix(suffix) + shard in beside for shard in shards):
            return True
    stem, dot, suffix = name.rpartition(".")
    # As cameras and programs write them: .jpg, .JPG, .Jpg.
    images = (form for image in IMAGES for form in (image, image.upper(), image.title()))
    return (dot + suffix).lower() in _OF_IMAGES and any(stem + image in beside for image in images)


def sample_key(name: str) -> str:
    """Return what WebDataset groups a tar's members by: all before the first dot of the file's name."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def file_key(name: str) -> str:
    """Return the key of a single image: its file's name without folder and suffix."""
    return PurePosixPath(name).stem


def read_fields(name: str, keep: Collection[str], keys: Collection[str] | None = None) -> dict[str, Fields]:
    """Return what a Parquet file beside images says of each, by key.

    Args:
        name: A path or URL.
        keep: The columns that are wanted.
        keys: Those of the images; by default all.
    """
    import pyarrow.parquet as pq

    files, path = locate(name)

    def read() -> Any:
        with files.open(path, "rb") as stream:
            table = pq.ParquetFile(stream)
            there = table.schema_arrow.names
            key = key_column(there)
            return key, table.read([key, *(column for column in keep if column in there and column != key)])

    key, table = patiently(read)
    wanted = None if keys is None else set(keys)
    found: dict[str, Fields] = {}
    for row in table.to_pylist():
        if row[key] is not None and (wanted is None or str(row[key]) in wanted):
            found[str(row[key])] = {column: as_text(row.get(column)) for column in keep}
    return found


def json_fields(data: bytes, keep: Collection[str]) -> Fields:
    """Return some fields of a JSON object; none, of what is no such thing."""
    try:
        row = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return {column: as_text(row.get(column)) for column in keep} if isinstance(row, dict) else {}
