"""Native views of a photograph: which squares of it, drawn by its content and a seed."""

from collections.abc import Sequence

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
    decoders: tuple[str, ...]
    """The names of those that reconstruct it."""


def draw_views(
    height: int,
    width: int,
    sha256: str,
    *,
    views: int,
    side: int,
    multiple: int,
    chosen: HistoryRange,
    decoders: Sequence[str],
    per_view: int | None,
    seed: int,
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
        decoders: The names of all.
        per_view: How many of them reconstruct a view, drawn for it; `None` for all.
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
            found.append(PhotoView(left=left, top=top, cut=cut, history=history, decoders=tuple(decoders)))
    if per_view is not None and per_view < len(decoders):
        # Drawn after all views, so that these are the same for any number of decoders.
        drawn = (np.sort(rng.permutation(len(decoders))[:per_view]) for _ in found)
        found = [
            msgspec.structs.replace(view, decoders=tuple(decoders[index] for index in chosen_ones))
            for view, chosen_ones in zip(found, drawn, strict=True)
        ]
    return tuple(found)
