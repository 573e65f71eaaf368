"""What a model is made from: a dataset's images, decoded and split as a recipe says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pyrite.bundle import Bundle
from pyrite.bundle.preprocess import Preprocess, Resize
from pyrite.datasets import Dataset, Decoded, Split, content_hashes, content_sha256, decode, split
from pyrite.datasets.clusters import MAX_COMPARED, NEAR_SIDE, Clusters, find_clusters
from pyrite.errors import DatasetError
from pyrite.evaluation.choose import own_split
from pyrite.recipe import Recipe
from pyrite.sources import encodable

_LEAST = (1, 4, 1)
"""Images of each class that train, validation and test need; golden.json takes no fewer than 8 images."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the job, and its progress."""

    name: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class PreparedDataset:
    """A dataset, ready to train on."""

    dataset: Dataset
    """Or the part of it that the recipe's limit leaves."""
    recipe: Recipe
    """How it was decoded and divided."""
    preprocess: Preprocess
    decoded: Decoded
    parts: Split
    """Every image of train and validation can be read."""
    clusters: Clusters | None
    """What was kept together; `None` where a bundle said the split."""
    divided_by: Bundle | None
    """The bundle that said the split."""
    sha256: str
    """Of content, labels and the data's own splits."""

    def known_generators(self, beginnings: Sequence[Bundle]) -> tuple[str, ...]:
        """Return what made the AI images that were trained on, where all of it is known.

        The data may have a column that says so. A network that started from others knows what they know, too.

        Args:
            beginnings: Bundles of the networks that this one started from.
        """
        column, labels = self.dataset.generators, self.dataset.labels
        if not column and not self.divided_by:
            return ()
        own = {column[i].strip() for i in self.parts.train if labels[i] == 1} - {""} if column else set()
        return tuple(sorted(own.union(*(beginning.info.knows for beginning in beginnings))))


def prepare_dataset(
    data: Dataset | str | Path, recipe: Recipe, watch: Callable[[Stage], None], *, trained: Sequence[Bundle] = ()
) -> PreparedDataset:
    """Decode and split a dataset; copies, near copies and the dataset's groups stay on one side.

    Args:
        data: the images, or where they lie.
        recipe: how large, how many and how divided.
        watch: called with every stage.
        trained: bundles that were perhaps trained on this data: the split of the first that was is taken then.

    Raises:
        DatasetError: too few of the images are left in a split, or can be read.
    """
    whole = data if isinstance(data, Dataset) else Dataset.open(data)
    whole = replace(whole, name=encodable(whole.name))
    dataset = whole if recipe.limit is None else whole.sample(recipe.limit, recipe.seed_of_split)
    preprocess = recipe.preprocess
    decoded = decode(
        dataset,
        preprocess,
        lambda done, total: watch(Stage("Decoding", done, total)),
        canvas=recipe.canvas_side,
    )
    splits = ((bundle, own_split(bundle, dataset, decoded.hashes)) for bundle in trained)
    divided_by, own = next(((bundle, found) for bundle, found in splits if found), (None, None))
    clusters = None if own else _find_clusters(dataset, decoded, preprocess, watch)
    if clusters:
        held_out = _left_out_tests(whole, dataset) if recipe.protocol == "official" and whole is not dataset else ()
        own = split(
            dataset, decoded.hashes, recipe.protocol, recipe.fractions, recipe.seed_of_split, held_out,
            clusters=clusters.numbers, least=_LEAST,
        )  # fmt: skip
    assert own
    parts = _readable(own, dataset, decoded)
    sha256 = content_sha256(dataset, decoded.hashes)
    return PreparedDataset(dataset, recipe, preprocess, decoded, parts, clusters, divided_by, sha256)


def _find_clusters(
    dataset: Dataset, decoded: Decoded, preprocess: Preprocess, watch: Callable[[Stage], None]
) -> Clusters:
    hashes = tuple("" if i in decoded.failures else value for i, value in enumerate(decoded.hashes))
    small = Resize(height=NEAR_SIDE, width=NEAR_SIDE)
    pixels = None if len(dataset) > MAX_COMPARED else decoded.pixels
    if pixels is not None and preprocess != small:
        pixels = decode(dataset, small, lambda done, total: watch(Stage("Decoding, to compare", done, total))).pixels
    return find_clusters(
        dataset, hashes, pixels, lambda done, total: watch(Stage("Looking for near copies", done, total))
    )


def _readable(parts: Split, dataset: Dataset, decoded: Decoded) -> Split:
    """Leave unreadable files out of train and validation, if enough is left.

    Raises:
        DatasetError: it is not.
    """
    failed = np.array(list(decoded.failures), np.intp)
    parts = replace(parts, train=np.setdiff1d(parts.train, failed), validation=np.setdiff1d(parts.validation, failed))
    for name, least in zip(("train", "validation", "test"), _LEAST, strict=True):
        kept = np.setdiff1d(getattr(parts, name), failed)
        for label, kind in enumerate(("real", "AI")):
            if (count := int(np.sum(dataset.labels[kept] == label))) < least:
                raise DatasetError(
                    f"The {name} split of {dataset.name} has {count} {kind} images that can be read, and needs at "
                    f"least {least}: add images, or raise the limit where one is set."
                )
    return parts


def _left_out_tests(whole: Dataset, kept: Dataset) -> frozenset[str]:
    """Return the hashes of the test images that a limit left out: no copy of them may be trained on.

    Those of a size that no kept image has are copies of none, and are not read.
    """
    left_out, sizes = set(whole.paths) - set(kept.paths), {whole.storage.size(path) for path in kept.paths}
    chosen = [
        i
        for i, path in enumerate(whole.paths)
        if whole.splits[i] == "test" and path in left_out and whole.storage.size(path) in sizes
    ]
    return frozenset(content_hashes(whole.select(np.array(chosen, np.intp)))) if chosen else frozenset()
