"""Bundles that a network learns from: its teachers, and those that it starts from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pyrite.bundle import VALIDATED, Bundle, SourceBundle, load_bundle
from pyrite.datasets import recognise
from pyrite.errors import RecipeError, TrainingError
from pyrite.publishing.preparation import PreparedDataset


def load_origin(name: str) -> Bundle:
    """Return a bundle, or that of a run's folder.

    Raises:
        BundleError: It is missing or damaged.
    """
    run = Path(name) / "bundle"
    return load_bundle(run if run.is_dir() else name)


def describe_origin(origin: Bundle) -> SourceBundle:
    """Return what a bundle's manifest says of another that it learnt from."""
    return SourceBundle(name=origin.info.name, version=origin.info.version, sha256=origin.sha256)


def check_origins(
    teachers: Sequence[Bundle], beginnings: Sequence[Bundle], material: PreparedDataset
) -> tuple[str, ...]:
    """Refuse bundles that know images which are kept back from the network; return what is to be said of others.

    A network that learns from such a bundle learns something of these images too, so its figures would be inflated.
    Images that chose the bundle's epoch, and copies of what it knows, count too; only validation images of its own may
    choose the network as well.

    Args:
        teachers: They know images by their hashes.
        beginnings: Those that training starts from, if any.
        material: Says which images are kept back.

    Raises:
        RecipeError: The split that was taken is another than the recipe's.
        TrainingError: A bundle knows such images.
    """
    cautions = [_check(teacher, "teacher {}", material) for teacher in teachers]
    divided_by = material.divided_by
    cautions += [
        _check(beginning, "bundle {} of start_from", material)
        for beginning in beginnings
        if beginning is not divided_by
    ]
    if divided_by and (training := divided_by.info.training):
        split, recipe = training.data, material.recipe
        if (split.protocol, split.fractions) != (recipe.protocol, recipe.fractions):
            raise RecipeError(
                f"start_from: {divided_by.info.name} was trained on this data with protocol = {split.protocol!r} and "
                f"fractions = {list(split.fractions)}. Set both to these, so that its test images stay test images."
            )
    return tuple(filter(None, cautions))


def _check(origin: Bundle, called: str, material: PreparedDataset) -> str | None:
    """Refuse a bundle that knows images which are kept back; return what is to be said of it."""
    hashes, parts = material.decoded.hashes, material.parts
    who = called.format(f"{origin.info.name} {origin.info.version}")
    if "trained_on.bin" not in origin.files:
        return (
            f"The {who} does not say what it was trained on. If it was trained on images of this split, these figures "
            "are inflated."
        )
    alike = np.arange(len(hashes)) if material.clusters is None else np.asarray(material.clusters.numbers)
    seen = recognise(origin.files["trained_on.bin"], hashes)
    chose = recognise(origin.files[VALIDATED], hashes) if VALIDATED in origin.files else np.zeros_like(seen)
    for name, part, known in (("test", parts.test, seen), ("validation", parts.validation, seen & ~chose)):
        count = int(np.isin(alike[part], alike[known]).sum())
        if count:
            raise TrainingError(
                f"The {who} was trained on {count:,} of the {len(part):,} images of the {name} split, or on copies of "
                "them. Train it with the same protocol, fractions and split_seed, or choose another."
            )
    return None
