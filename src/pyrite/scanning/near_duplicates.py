"""Near copies within a corpus: images of one perceptual hash, of which the verdict on one serves for all."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from pyrite.image import Image
from pyrite.results import Reason
from pyrite.scanning.remote import join, writing
from pyrite.scanning.table import read_table

COPIES = "copies.parquet"
_SIDE = 32  # pixels
_LOWEST = 8  # frequencies along each side
_FLAT = 2.0  # of 255, root mean square: less than that is no picture.
_WAVES = np.cos(np.pi * np.outer(np.arange(_LOWEST), np.arange(_SIDE) + 0.5) / _SIDE)
_COLUMNS = ("shard", "position", "phash", "width", "height", "in_scope", "verdict", "reason", "action", "action_reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class NearDuplicates:
    """How many near copies a scan found."""

    groups: int
    images: int
    """In groups, those that serve included."""
    changed: int
    """Images whose own verdict is not that of their group."""


def perceptual_hash(image: Image) -> int | None:
    """Return 63 bits which the same picture, saved again or resized, mostly has as well; `None` for a flat one.

    Each says whether one of the lowest frequencies of the picture in grey, 32 × 32 pixels large, is above the median of
    all (the DCT hash of Zauner, *Implementation and benchmarking of perceptual image hash functions*, 2010).
    """
    picture = PillowImage.fromarray(image.pixels).convert("L")
    small = picture.resize((_SIDE, _SIDE), PillowImage.Resampling.BILINEAR, image.box)
    values = np.asarray(small, np.float64)
    if values.std() < _FLAT:
        return None
    frequencies = (_WAVES @ values @ _WAVES.T).ravel()[1:]  # Without the mean.
    bits = np.packbits(np.append(False, frequencies > np.median(frequencies)))
    return int.from_bytes(bits.tobytes())


def write_copies(out: str, shards: int) -> NearDuplicates:
    """Write which images of a finished scan share a hash, and the verdict that serves them.

    It is that of the copy that tells most: one whose own file speaks of its origin, else one in the bundle's scope, and
    of these the one with the most pixels, and of equals the first.

    Holds 8 bytes for each image of the corpus, and the rows of those that have copies.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    hashes = [table["phash"].drop_null().to_numpy() for table in read_table(out, range(shards), ("phash",))]
    every = np.sort(np.concatenate(hashes))
    repeated = np.unique(every[1:][every[1:] == every[:-1]])
    del hashes, every
    rows = pa.concat_tables(_among(table, repeated) for table in read_table(out, range(shards), _COLUMNS))
    phash = rows["phash"].to_numpy()
    pixels = rows["width"].to_numpy().astype(np.int64) * rows["height"].to_numpy()
    order = np.lexsort((rows["position"], rows["shard"], -pixels, _rank(rows), phash))
    rows = rows.take(order)
    _, first, group = np.unique(phash[order], return_index=True, return_inverse=True)
    served = rows.take(first[group])
    table = pa.table(
        {
            **{name: rows[name] for name in ("shard", "position", "phash")},
            **{f"of_{name}": served[name] for name in ("shard", "position")},
            **{name: served[name] for name in ("verdict", "action", "action_reason")},
        }
    )
    with writing(join(out, COPIES)) as path:
        pq.write_table(table, path, compression="zstd")
    changed = int(np.sum(rows["verdict"].to_numpy() != served["verdict"].to_numpy()))
    return NearDuplicates(groups=len(first), images=len(rows), changed=changed)


def _among(table: Any, hashes: Any) -> Any:
    """Return the rows of a table whose hash is one of these, which are sorted."""
    import pyarrow as pa

    table = table.filter(table["phash"].is_valid())
    values = table["phash"].to_numpy()
    places = np.searchsorted(hashes, values)
    found = places < len(hashes)
    found[found] = hashes[places[found]] == values[found]
    return table.filter(pa.array(found))


def _rank(rows: Any) -> Any:
    """Return how much each image tells of its picture's origin, the most first."""
    reasons = rows["reason"].to_numpy()
    in_scope = rows["in_scope"].to_numpy().astype(bool)
    return np.select([reasons == Reason.VERIFIED, reasons == Reason.ASSERTED, in_scope], [0, 1, 2], 3)
