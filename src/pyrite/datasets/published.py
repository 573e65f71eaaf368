"""Tables that their authors published with columns and labels of their own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyrite.datasets.labelling import Labelling


@dataclass(frozen=True, slots=True)
class _Published:
    """A table as its authors publish it, told by its columns."""

    name: str
    columns: frozenset[str]
    labelling: Labelling


_PUBLISHED = (
    _Published(
        "ArtiFact",
        frozenset({"filename", "image_path", "target"}),
        Labelling(real=("0",), ai=("*",), image_column="image_path", label_column="target"),
    ),
    _Published(
        "Community Forensics",
        frozenset({"image_data", "label", "model_name"}),
        Labelling(image_column="image_data", label_column="label", generator_column="model_name"),
    ),
    _Published(
        "OpenFake",
        frozenset({"image", "label", "model", "release_date"}),
        Labelling(image_column="image", label_column="label", generator_column="model"),
    ),
    _Published(
        "Defactify",
        frozenset({"Image", "Label_A", "Label_B"}),
        Labelling(image_column="Image", label_column="Label_A"),
    ),
)


def as_published(header: Sequence[str], labelling: Labelling) -> tuple[str | None, Labelling]:
    """Return whose table one of these columns is, if that is known, and the labelling with what that means.

    What the user says counts more.
    """
    known = next((known for known in _PUBLISHED if known.columns <= set(header)), None)
    if known is None:
        return None, labelling
    theirs = known.labelling
    own_labels = labelling.names_classes or labelling.label_column not in (None, theirs.label_column)
    return known.name, replace(
        labelling,
        real=labelling.real if own_labels else theirs.real,
        ai=labelling.ai if own_labels else theirs.ai,
        image_column=labelling.image_column or theirs.image_column,
        label_column=theirs.label_column if labelling.label_column is None else labelling.label_column,
        generator_column=labelling.generator_column or theirs.generator_column,
    )
