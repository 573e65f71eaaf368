"""The columns of a source's tables: which holds the images, which names them, which results are joined by."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from pyrite.errors import ScanError

STATUS = "status"
"""What img2dataset says of each download: `success`, or why there is no image."""
_IMAGES = ("image", "bytes", "jpg", "jpeg", "png", "webp")
_KEYS = ("key", "__key__")
_ADDRESSES = ("url", "urls", "image_url", "img_url", "uri")
_FETCH_FIRST = (
    "It holds addresses, not images. Download them first, as with img2dataset, and scan the folder that it writes."
)


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a source are read, and which go into the table of results."""

    image: str | None = None
    """The one of images in Parquet files; by default `image`, `bytes`, `jpg`, `jpeg`, `png` or `webp`."""
    path: str | None = None
    """The one that names images; by default `path`."""
    keep: tuple[str, ...] = ()
    """Those that are passed through to the results."""


def image_column(schema: Any, columns: Columns) -> str | None:
    """Return the column of an Arrow schema that holds images, as bytes or as Hugging Face has them; `None` if none."""
    names = (columns.image,) if columns.image else _IMAGES
    return next((name for name in names if name in schema.names and _holds_bytes(schema.field(name).type)), None)


def key_column(names: Iterable[str]) -> str | None:
    """Return the column that results are joined by; `None` if none."""
    there = set(names)
    return next((name for name in _KEYS if name in there), None)


def check_kept(name: str, schema: Any, columns: Columns) -> None:
    """Refuse a Parquet file without a column that is to be kept.

    Raises:
        ScanError: It has none, or one of bytes.
    """
    check_names(name, schema.names, columns)
    for column in columns.keep:
        if _holds_bytes(schema.field(column).type):
            raise ScanError(f"The column `{column}` of {name} holds bytes, which are not kept.")


def check_names(name: str, there: Sequence[str], columns: Columns) -> None:
    """Refuse a table without a column that is to be kept.

    Raises:
        ScanError: It has none; the sentence names those that it has.
    """
    for column in columns.keep:
        if column not in there:
            raise ScanError(f"{name} has no column `{column}` to keep; it has {_listed(there)}.")


def check_images(name: str, schema: Any, columns: Columns) -> None:
    """Refuse a Parquet file of images without a column that is to be kept, or without that of their names.

    Raises:
        ScanError: It lacks one; the sentence says which.
    """
    check_kept(name, schema, columns)
    if columns.path and columns.path not in schema.names:
        raise ScanError(f"{name} has no column `{columns.path}`; it has {_listed(schema.names)}.")


def without_images(name: str, there: Sequence[str], columns: Columns) -> ScanError:
    """Return what to say of a table with neither images nor paths."""
    if columns.image in there:
        return ScanError(f"The column `{columns.image}` of {name} holds no bytes, so no images.")
    if columns.image or columns.path:
        wanted = " or ".join(f"`{column}`" for column in (columns.image, columns.path) if column)
        return ScanError(f"{name} has no column {wanted}; it has {_listed(there)}.")
    if holds_addresses(there):
        return holding_addresses(name)
    return ScanError(
        f"{name} has neither a column `path` nor one of bytes called {', '.join(_IMAGES[:-1])} or {_IMAGES[-1]}; "
        f"it has {_listed(there)}. Name it with --image-column or --path-column."
    )


def holds_addresses(there: Iterable[str]) -> bool:
    """Say whether a table has a column of addresses, as those have that img2dataset reads."""
    return any(column.lower() in _ADDRESSES for column in there)


def holding_addresses(name: str) -> ScanError:
    """Return what to say of a table of addresses."""
    return ScanError(f"{name} cannot be scanned. {_FETCH_FIRST}")


def as_text(value: object) -> str | None:
    """Return a value of a kept column: text as it is, anything else as JSON, and nothing or NaN as `None`."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    plain = msgspec.to_builtins(value, enc_hook=str)
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()


def _holds_bytes(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_bytes(kind.field(index).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
