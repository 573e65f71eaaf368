"""Native views of a photograph: which squares of it, drawn by its content and a seed."""

import msgspec
import numpy as np

from pyrite.matching.histories import HistoryRange, SharedHistory, draw_history

_TRIES = 20  # for each view


class PhotoView(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A square of a photograph at its own resolution, and the history that its pair goes through."""

    left: int
    top: int
    cut: int
    """Height and width in pixels, before the history."""
    history: SharedHistory


def draw_views(
    height: int, width: int, sha256: str, *, views: int, side: int, multiple: int, chosen: HistoryRange, seed: int
) -> tuple[PhotoView, ...]:
    """Draw views of a photograph, fewer where it has no room: no two are shifted by less than half in both directions.

    Args:
        height: Of the photograph in pixels, at least `side`.
        width: The same.
        sha256: Of its file, in hexadecimal: with the seed, it decides all.
        views: At most so many.
        side: Height and width of the files that are made.
        multiple: Of which a cut's side is one.
        chosen: What histories are drawn from.
        seed: Another seed gives other views.
    """
    rng = np.random.default_rng([seed, *bytes.fromhex(sha256)])
    found: list[PhotoView] = []
    for _ in range(_TRIES * views):
        if len(found) == views:
            break
        cut, history = draw_history(chosen, side, min(height, width), multiple, rng)
        top, left = (int(rng.integers(length - cut + 1)) for length in (height, width))
        if all(2 * max(abs(top - one.top), abs(left - one.left)) >= max(cut, one.cut) for one in found):
            found.append(PhotoView(left=left, top=top, cut=cut, history=history))
    return tuple(found)
