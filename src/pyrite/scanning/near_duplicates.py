"""Near copies within a corpus: images of nearly one perceptual hash, of which the verdict on one serves for all."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from pyrite.image import Image
from pyrite.results import Reason
from pyrite.scanning.hamming import Indices, find_pairs
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
    distance: int
    """Bits, at most, by which a hash differs from that of the image that serves."""
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


def write_copies(out: str, shards: int, distance: int) -> NearDuplicates:
    """Write which images of a finished scan have nearly the same hash, and the verdict that serves them.

    The image that tells most serves first: one whose own file speaks of its origin, else one in the bundle's scope, of
    these the one with the most pixels, and of equals the first. It serves all that are within `distance` bits of its
    hash; of the rest, the one that tells most serves next. So no chain of small steps joins two pictures.

    Holds some 50 bytes for each image of the corpus, and the rows of those that have copies.

    Args:
        out: Of the scan.
        shards: How many it has.
        distance: Bits by which hashes may differ, 0 to `MAX_DISTANCE`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    hashes = [table["phash"].drop_null().to_numpy() for table in read_table(out, range(shards), ("phash",))]
    codes, counts = np.unique(np.concatenate(hashes).astype(np.uint64), return_counts=True)
    del hashes
    first, second = find_pairs(codes, distance)
    alike = counts > 1
    alike[first] = alike[second] = True
    rows = pa.concat_tables(_among(table, codes[alike]) for table in read_table(out, range(shards), _COLUMNS))
    # Of each hash, the row that tells most comes first; and the hashes by what that row tells.
    phash = rows["phash"].to_numpy().astype(np.uint64)
    pixels = rows["width"].to_numpy().astype(np.int64) * rows["height"].to_numpy()
    order = np.lexsort((rows["position"], rows["shard"], -pixels, _rank(rows)))
    place = np.empty(len(order), np.intp)
    place[order] = np.arange(len(order))
    best = np.full(len(codes), len(order))
    code = np.searchsorted(codes, phash)
    np.minimum.at(best, code, place)
    servers = _serve(np.argsort(best, kind="stable")[: int(np.sum(alike))], first, second, len(codes))
    # Rows group by group, the one that serves first; and without those that are alone after all.
    order = np.lexsort((place, servers[code]))
    _, starts, group, sizes = np.unique(
        servers[code][order], return_index=True, return_inverse=True, return_counts=True
    )
    kept = sizes[group] > 1
    rows, served = rows.take(order[kept]), rows.take(order[starts[group]][kept])
    table = pa.table(
        {
            **{name: rows[name] for name in ("shard", "position", "phash")},
            **{f"of_{name}": served[name] for name in ("shard", "position")},
            "distance": pa.array(np.bitwise_count(rows["phash"].to_numpy() ^ served["phash"].to_numpy()), pa.int8()),
            **{name: served[name] for name in ("verdict", "action", "action_reason")},
        }
    )
    with writing(join(out, COPIES)) as path:
        pq.write_table(table, path, compression="zstd")
    changed = int(np.sum(rows["verdict"].to_numpy() != served["verdict"].to_numpy()))
    return NearDuplicates(groups=int(np.sum(sizes > 1)), distance=distance, images=len(rows), changed=changed)


def _serve(order: Indices, first: Indices, second: Indices, count: int) -> Indices:
    """Return which hash serves each of `count`: of those in order, each serves its neighbours that none serves yet.

    Args:
        order: Indices of hashes; all others serve themselves.
        first: (m,) of pairs that are near enough.
        second: (m,).
        count: How many hashes there are.
    """
    ends = np.concatenate([first, second])
    by_end = np.argsort(ends, kind="stable")
    neighbours = np.concatenate([second, first])[by_end]
    starts = np.searchsorted(ends[by_end], np.arange(count + 1))
    servers = np.full(count, -1)
    for node in order:
        if servers[node] < 0:
            near = neighbours[starts[node] : starts[node + 1]]
            servers[near[servers[near] < 0]] = node
            servers[node] = node
    return np.where(servers < 0, np.arange(count), servers)


def _among(table: Any, hashes: Any) -> Any:
    """Return the rows of a table whose hash is one of these, which are sorted."""
    import pyarrow as pa

    table = table.filter(table["phash"].is_valid())
    values = table["phash"].to_numpy().astype(np.uint64)
    places = np.searchsorted(hashes, values)
    found = places < len(hashes)
    found[found] = hashes[places[found]] == values[found]
    return table.filter(pa.array(found))


def _rank(rows: Any) -> Any:
    """Return how much each image tells of its picture's origin, the most first."""
    reasons = rows["reason"].to_numpy()
    in_scope = rows["in_scope"].to_numpy().astype(bool)
    return np.select([reasons == Reason.VERIFIED, reasons == Reason.ASSERTED, in_scope], [0, 1, 2], 3)
