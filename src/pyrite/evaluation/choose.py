"""Which images bundles are judged by, and why these."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import VALIDATED, Bundle, Panel, TrainingInfo
from pyrite.datasets import Dataset, content_hashes, content_sha256, recognise
from pyrite.datasets.clusters import caution_of_clusters
from pyrite.datasets.split import Split, split
from pyrite.errors import EvaluationError
from pyrite.sources import encodable

Indices = NDArray[np.intp]
Protocol = Literal["auto", "official", "pooled", "all", "validation"]

_FRACTIONS = (0.8, 0.1, 0.1)  # of a pooled split that no bundle prescribes


@dataclass(frozen=True, slots=True)
class Part:
    """Which images were judged."""

    protocol: Literal["official", "pooled", "all", "validation"]
    why: str
    """A sentence for the reader."""
    dropped: int | None = None
    """Images kept out of training and validation as copies of a later split’s; `None` where not known."""
    caution: str | None = None
    """What speaks against taking the figures at face value."""
    drawn: bool = False
    """Whether a limit drew the images, and no others were read: their copies among those are not known."""


@dataclass(frozen=True)
class Chosen:
    """The images that bundles are judged by."""

    dataset: Dataset
    """The whole data, judged or not; the images to judge alone where they were drawn."""
    hashes: Sequence[str]
    """(len(dataset),), each file's hexadecimal SHA-256, empty where it could not be read."""
    indices: Indices
    """Of the images to judge."""
    part: Part
    """What they are, for the reader."""


def choose(
    panel: Panel,
    dataset: Dataset,
    protocol: Protocol,
    limit: int | None,
    seed: int,
    *,
    hashes: Sequence[str] | None = None,
    among: NDArray[np.bool_] | None = None,
) -> Chosen:
    """Return which images to judge, with the reason in words.

    Args:
        panel: what will judge them, which may be nothing. The split is that of the first bundle which was trained on
            this data.
        dataset: the whole data.
        protocol: see `evaluate`.
        limit: see `evaluate`.
        seed: of a pooled split that the bundle does not prescribe, and of the limit's draw.
        hashes: of each file, where they are known; see `content_hashes`.
        among: (len(dataset),), whether an image may be chosen, where scores of some are all there is.

    Raises:
        EvaluationError: the protocol does not fit the bundle or the data, or `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise EvaluationError(f"The limit must be at least one image, not {limit}.")
    if hashes is None and limit is not None and limit < len(dataset) and _may_draw(panel, dataset, protocol):
        return _draw(panel, dataset, protocol, limit, seed)
    hashes, bundles = content_hashes(dataset) if hashes is None else hashes, panel.bundles
    pasts = [_past(bundle, dataset, hashes, alone=len(bundles) == 1) for bundle in bundles]
    trained = next((past for past in pasts if past.own), None)
    own, who = (trained.own, trained.who) if trained else (None, "")
    origin = " ".join(map(_origin, pasts))
    rest = "".join(f" {_origin(past)}" for past in pasts if past is not trained)
    name = encodable(dataset.name)
    named = np.array([split == "test" for split in dataset.splits], np.bool_)
    dropped = None
    if protocol == "auto":
        protocol = own.protocol if own else "official" if named.any() else "all"
    if protocol == "validation":
        if not own:
            raise EvaluationError(
                f"{' and '.join(bundle.info.name for bundle in bundles) or 'The detectors'} "
                f"{'was' if len(bundles) == 1 else 'were'} not trained on {name}, none of which chose or calibrated "
                f"{'it' if len(bundles) == 1 else 'them'}. Use another protocol."
            )
        indices = own.validation
        why = f"The validation split of {name}, which chose and calibrated {who}.{rest}"
        dropped = own.dropped
    elif own and own.protocol == protocol:
        indices = _with_unreadable(own.test, hashes)
        why = f"The {protocol} test split of {name}, which {who}’s training held out.{rest}"
        dropped = own.dropped
    elif protocol == "official":
        if not named.any():
            raise EvaluationError(f"{name} has no test split. Use the protocol 'all' or 'pooled' instead.")
        indices = np.flatnonzero(named)
        why = f"The test split that {name} names. {origin}"
    elif protocol == "pooled":
        indices = _with_unreadable(split(dataset, hashes, "pooled", _FRACTIONS, seed).test, hashes)
        why = f"A tenth of {name}, drawn by content with seed {seed}. {origin}"
    else:
        indices = np.arange(len(dataset))
        why = f"Every image of {name}. {origin}"
    if among is not None and not among[indices].all():
        scored = indices[among[indices]]
        why += f" Of its {len(indices):,} images, {len(scored):,} have scores in every file that was given."
        indices = scored
    if limit is not None and limit < len(indices):
        drawn = np.random.default_rng(seed).choice(indices, limit, replace=False)
        why += f" Of its {len(indices):,} images, {limit:,} were drawn at random (seed {seed})."
        indices = np.sort(drawn)
    cautions = [
        f"{known:,} of the {len(indices):,} judged images trained {past.who} or chose it, so these figures are "
        "inflated."
        for past in pasts
        if past.seen is not None and (known := int(past.seen[indices].sum()))
    ]
    if dataset.groups is not None and len(indices):
        count = len({dataset.groups[i] or str(i) for i in indices.tolist()})
        if few := caution_of_clusters(len(indices), count):
            cautions.append(few)
    if panel.data_sha256 == content_sha256(dataset, hashes):
        cautions.append("These images calibrated the panel, so the figures are inflated.")
    return Chosen(dataset, hashes, indices, Part(protocol, why.strip(), dropped, " ".join(cautions) or None))


def _may_draw(panel: Panel, dataset: Dataset, protocol: Protocol) -> bool:
    """Say whether images can be drawn, and those that trained a bundle told, without reading all others.

    A split by content takes all of them, and so do groups, of which one image may have trained the bundle, a bundle
    that does not remember what trained it, and a panel that was calibrated as one, which knows its images by one hash
    of all.
    """
    remembers = all(bundle.info.training is None or "trained_on.bin" in bundle.files for bundle in panel.bundles)
    return protocol in ("auto", "official", "all") and not dataset.groups and remembers and panel.data_sha256 is None


def _draw(panel: Panel, dataset: Dataset, protocol: Protocol, limit: int, seed: int) -> Chosen:
    """Choose so many images at random, and read no others; with `auto`, those that trained a bundle are passed over."""
    name, trainings = encodable(dataset.name), [bundle.info.training for bundle in panel.bundles]
    named = np.array([split == "test" for split in dataset.splits], np.bool_)
    pooled = any(
        training and (training.data.fingerprint, training.data.protocol) == (dataset.fingerprint, "pooled")
        for training in trainings
    )
    official = protocol == "official" or (protocol == "auto" and bool(named.any()) and not pooled)
    if official and not named.any():
        raise EvaluationError(f"{name} has no test split. Use the protocol 'all' or 'pooled' instead.")
    among = np.flatnonzero(named) if official else np.arange(len(dataset))
    order = np.random.default_rng(seed).permutation(among)
    kept: list[int] = []
    hashes: dict[int, str] = {}
    known: set[int] = set()
    while len(kept) < limit and len(hashes) < len(order):
        some = order[len(hashes) : len(hashes) + limit - len(kept)]
        found = content_hashes(dataset.select(some))
        hashes.update(zip(some.tolist(), found, strict=True))
        trained = trained_on(panel, found)
        known.update(some[trained].tolist())
        kept += some[~trained if protocol == "auto" else np.ones(len(some), np.bool_)].tolist()
    if not kept:
        raise EvaluationError(f"All of the {len(order):,} images of {name} trained the bundle or chose it.")
    kept.sort()
    what = f"The test split that {name} names." if official else f"Every image of {name}."
    why = [what]
    if len(kept) < len(order):
        why.append(
            f"Of its {len(order):,} images, {len(kept):,} were drawn at random (seed {seed}), and no others read."
        )
    if protocol == "auto" and known:
        why.append(f"{len(known):,} more were drawn and left out, because they trained the bundle or chose it.")
    why += [
        f"{bundle.info.name} was trained on {bundle.info.training.data.name}."
        if bundle.info.training
        else f"{bundle.info.name} does not say what it was trained on."
        for bundle in panel.bundles
    ]
    own = sum(i in known for i in kept)
    caution = f"{own:,} of the {len(kept):,} judged images trained a bundle or chose it, so these figures are inflated."
    selected = dataset.select(np.array(kept, np.intp))
    return Chosen(
        selected,
        [hashes[i] for i in kept],
        np.arange(len(kept)),
        Part("official" if official else "all", " ".join(why), None, caution if own else None, drawn=True),
    )


def trained_on(panel: Panel, hashes: Sequence[str]) -> NDArray[np.bool_]:
    """Say of each image (n,) whether it trained a bundle or chose it."""
    trained = np.zeros(len(hashes), np.bool_)
    for bundle in panel.bundles:
        if "trained_on.bin" in bundle.files:
            trained |= recognise(bundle.files["trained_on.bin"], hashes)
    return trained


@dataclass(frozen=True, slots=True)
class _Past:
    """What a bundle's training has to do with the data."""

    who: str
    training: TrainingInfo | None
    own: Split | None
    """The split that it was trained on, if it was trained on this data."""
    seen: NDArray[np.bool_] | None
    """(n,), whether an image trained or chose the bundle; `None` where that cannot be told."""


def _past(bundle: Bundle, dataset: Dataset, hashes: Sequence[str], *, alone: bool) -> _Past:
    own = own_split(bundle, dataset, hashes)
    who = "this bundle" if alone else f"{bundle.info.name} {bundle.info.version}"
    return _Past(who, bundle.info.training, own, _seen(bundle, own, hashes))


def own_split(bundle: Bundle, dataset: Dataset, hashes: Sequence[str]) -> Split | None:
    """Return the split that a bundle was trained on, if it was trained on this data.

    Args:
        bundle: It remembers its training and validation images, or was divided by content alone.
        dataset: The data.
        hashes: (n,), each file's hexadecimal SHA-256, empty where it could not be read.
    """
    training = bundle.info.training
    if training is None:
        return None
    # A copy of the data has another listing, but the same content.
    same_listing = training.data.fingerprint == dataset.fingerprint
    if not same_listing and training.data.sha256 != content_sha256(dataset, hashes):
        return None
    if VALIDATED not in bundle.files or "trained_on.bin" not in bundle.files:
        return split(dataset, hashes, training.data.protocol, training.data.fractions, training.seed)
    readable = np.array([bool(value) for value in hashes])
    seen, validation = (recognise(bundle.files[name], hashes) for name in ("trained_on.bin", VALIDATED))
    named = np.array([name == "test" for name in dataset.splits], np.bool_)
    test = readable & (named if training.data.protocol == "official" else ~seen & ~_beside(seen, dataset))
    return Split(
        protocol=training.data.protocol,
        train=np.flatnonzero(seen & ~validation & ~test),
        validation=np.flatnonzero(validation & ~test),
        test=np.flatnonzero(test),
        dropped=None,
    )


def _beside(seen: NDArray[np.bool_], dataset: Dataset) -> NDArray[np.bool_]:
    """Say of each image (n,) whether it is of a group that has one which was seen, as a limit on training may leave."""
    if dataset.groups is None:
        return np.zeros(len(seen), np.bool_)
    known = {dataset.groups[i] for i in np.flatnonzero(seen).tolist()} - {""}
    return np.array([group in known for group in dataset.groups], np.bool_)


def _seen(bundle: Bundle, own: Split | None, hashes: Sequence[str]) -> NDArray[np.bool_] | None:
    """Say of each image (n,) whether it trained or chose the bundle; `None` where that cannot be told."""
    if "trained_on.bin" in bundle.files:
        return recognise(bundle.files["trained_on.bin"], hashes)
    if own is None:
        return None
    seen = np.zeros(len(hashes), np.bool_)
    seen[own.train] = seen[own.validation] = True
    return seen


def _with_unreadable(indices: Indices, hashes: Sequence[str]) -> Indices:
    """Add the files that cannot be read: they are in no split, and must not go missing for it."""
    return np.union1d(indices, [i for i, value in enumerate(hashes) if not value]).astype(np.intp)


def _origin(past: _Past) -> str:
    who = "The bundle" if past.who == "this bundle" else past.who
    if past.training is None:
        return f"{who} does not say what it was trained on."
    if past.own:
        return f"{who} was trained on this data, by its {past.own.protocol} split."
    name, seen = past.training.data.name, past.seen
    if seen is None:
        return f"{who} was trained on {name}; whether this data shares images with it is not known."
    shared = f"{seen.sum():,} of the images here were in that" if seen.any() else "none of the images here was in that"
    return f"{who} was trained on {name}, and {shared}."
