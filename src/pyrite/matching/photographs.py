"""Which files of a source are photographs: all of them, or the real ones where it says which are."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from pyrite.datasets import Dataset, Labelling
from pyrite.datasets.labels import is_picture
from pyrite.datasets.vocabulary import AI, REAL, is_generator, label_of
from pyrite.errors import DatasetError


def open_photographs(source: str, labelling: Labelling | None = None, *, with_ai: bool = False) -> tuple[Dataset, int]:
    """Return the photographs of a source, and how many AI images were left out of it.

    A table, shards, or folders called `real` and the like say which images are real; only those are taken. In any other
    folder or archive, every picture is a photograph.

    Args:
        source: What `Dataset.open` takes.
        labelling: Names of classes and columns, where they are not the usual ones.
        with_ai: Whether to take AI images as well, with their label.

    Raises:
        DatasetError: It cannot be read, or has no real images, or no AI images where these are wanted, or some folders
            look like those of AI images.
        MissingExtraError: An optional dependency is needed.
    """
    try:
        labelled = Dataset.open(source, labelling=labelling, one_class=True)
    except DatasetError:
        column, pattern = (labelling.group_column, labelling.group_pattern) if labelling else (None, None)
        if labelling not in (None, Labelling(group_column=column, group_pattern=pattern)):
            raise
        everything = Dataset.open_real(source, group_column=column, group_pattern=pattern)
        if _says_classes(everything.paths):
            raise  # What is wrong with a table or with folders of both classes: no heap of photographs has these.
        if with_ai:
            raise DatasetError(f"Nothing in {everything.name} says which images are AI. Name them with --ai.") from None
        return _pictures(everything), 0
    real = np.flatnonzero(labelled.labels == REAL)
    if not len(real):
        raise DatasetError(f"{labelled.name} has no real images. Name them with --real, or give a folder of those.")
    ai_images = len(labelled) - len(real)
    if with_ai and not ai_images:
        raise DatasetError(f"{labelled.name} has no AI images. Name them with --ai, or leave out --with-ai.")
    return (labelled, 0) if with_ai else (labelled.select(real), ai_images)


def _says_classes(paths: Sequence[str]) -> bool:
    """Say whether there is a table of images, or a folder that AI images seem to lie in."""
    folders = {part for path in paths for part in PurePosixPath(path).parts[:-1]}
    return any(PurePosixPath(path).stem in ("manifest", "metadata") for path in paths) or any(
        label_of(folder) == AI or is_generator(folder) for folder in folders
    )


def _pictures(everything: Dataset) -> Dataset:
    """Return all that are images by their names, and count the others as left out.

    Raises:
        DatasetError: There are none.
    """
    chosen = [i for i, path in enumerate(everything.paths) if is_picture(path)]
    if not chosen:
        raise DatasetError(f"{everything.name} holds no photographs.")
    photographs = everything.select(np.array(chosen, np.intp))
    if others := len(everything) - len(chosen):
        photographs.tally.left_out["no images", "other files"] += others
    return photographs
