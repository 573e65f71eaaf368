"""Facts of the files, apart from their pictures, that split the classes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyrite.datasets.shortcuts import TRAITS

SPLITTING = 0.5
"""How far apart the classes' shares must be. Whoever judges by such a fact alone is right for three of four images,
with the classes weighed alike; smaller differences are left to the shortcut floor, which adds them up."""
_ERRORS = 4
"""Standard errors, at their largest, that the shares must be apart as well: of few images, chance alone splits some by
one of dozens of facts. So it takes 8 images of each class at least."""
_OF_JPEGS = ("JPEG tables", "JPEG subsampling", "JPEG scan")
_OF_SIZE = ("size", "shape", "grid")
_SAID = {
    "format": ("is stored as {}", "are stored as {}"),
    "colour mode": ("has the colour mode {}", "have the colour mode {}"),
    "size": ("is {} pixels", "are {} pixels"),
    "shape": ("is {}", "are {}"),
    "grid": ("has sides of multiples of {} pixels", "have sides of multiples of {} pixels"),
    "JPEG tables": ("has the JPEG {}", "have the JPEG {}"),
    "JPEG subsampling": ("has the chroma subsampling {}", "have the chroma subsampling {}"),
    "JPEG scan": ("is {}", "are {}"),
    "EXIF": ("has {}", "have {}"),
    "XMP": ("has {}", "have {}"),
    "colour profile": ("has a {}", "have a {}"),
    "comment or text": ("has a {}", "have a {}"),
}
_RESAVE = (
    "Re-save both classes alike, in one format at one quality, and train with a recipe that degrades both "
    "(`degrade`), which saves them as JPEG at random."
)
_RESIZE = (
    "Bring both classes to the same sizes in the same way, by cropping or with one filter; resizing one class alone "
    "leaves its own trace."
)
_STRIP = (
    "Pyrite's networks never see it, but it shows that the classes come from different sources: re-save both classes "
    "alike, and add images of both from the same sources."
)
REMEDIES = (
    dict.fromkeys(("format", *_OF_JPEGS), _RESAVE)
    | dict.fromkeys(_OF_SIZE, _RESIZE)
    | {"colour mode": "Convert both classes to RGB, and re-save them alike."}
    | dict.fromkeys(("EXIF", "XMP", "colour profile", "comment or text"), _STRIP)
)
"""What to do about each fact, once for all that share it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bias:
    """A fact of the files that one class has and the other lacks, by and large."""

    fact: str
    """One of `TRAITS`."""
    value: str
    """Such as PNG, of `format`."""
    among: str
    """The format that it was counted within: JPEG for what only JPEGs have, and empty for all images."""
    real: int
    """Real images that have it."""
    of_real: int
    """Real images that could."""
    ai: int
    of_ai: int

    @property
    def strength(self) -> float:
        """How far apart the shares are, 0 to 1."""
        return abs(self.ai / self.of_ai - self.real / self.of_real)

    def __str__(self) -> str:
        """Say it in a sentence, with its counts."""
        classes = [("AI", self.ai, self.of_ai), ("real", self.real, self.of_real)]
        (more, has, of), (less, other_has, other_of) = sorted(classes, key=lambda row: -row[1] / row[2])
        one, many = (words.format(self.value) for words in _SAID[self.fact])
        if has == of and not other_has:
            said = f"every {more} image ({of:,}) {one}, and no {less} one ({other_of:,}) {one.split()[0]}"
        else:
            said = (
                f"{_share(has, of)} of the {more} images ({has:,} of {of:,}) {many}, "
                f"{_share(other_has, other_of)} of the {less} ones ({other_has:,} of {other_of:,})"
            )
        return f"Of the {self.among} files, {said}." if self.among else f"{said[0].upper()}{said[1:]}."


def find_biases(traits: NDArray[np.object_], labels: NDArray[np.int8]) -> tuple[Bias, ...]:
    """Return what splits the classes, the strongest first: of each fact one value, and of sizes one fact.

    Args:
        traits: (n, len(TRAITS)) of readable images: see `Facts`.
        labels: (n,), 0 for real and 1 for AI.
    """
    found = [
        max(biases, key=lambda bias: bias.strength) for name in TRAITS if (biases := [*_count(name, traits, labels)])
    ]
    of_size = [bias for bias in found if bias.fact in _OF_SIZE]
    weaker = sorted(of_size, key=lambda bias: -bias.strength)[1:]
    return tuple(sorted((bias for bias in found if bias not in weaker), key=lambda bias: -bias.strength))


def _count(name: str, traits: NDArray[np.object_], labels: NDArray[np.int8]) -> Iterator[Bias]:
    """Yield the values of a fact that split the classes, those that AI images have first."""
    among = "JPEG" if name in _OF_JPEGS else ""
    chosen = np.flatnonzero(traits[:, TRAITS.index("format")] == among) if among else np.arange(len(traits))
    column, labels = traits[chosen, TRAITS.index(name)].astype(str), labels[chosen]
    of_ai = int(labels.sum())
    of_real = len(labels) - of_ai
    if not of_ai or not of_real:
        return
    values, place = np.unique(column, return_inverse=True)
    ai = np.bincount(place, labels, len(values)).astype(int)
    real = np.bincount(place, minlength=len(values)) - ai
    by_chance = _ERRORS * math.sqrt(0.25 / of_real + 0.25 / of_ai)
    for k in np.argsort(ai / of_ai * -1, kind="stable"):
        bias = Bias(
            fact=name, value=str(values[k]), among=among,
            real=int(real[k]), of_real=of_real, ai=int(ai[k]), of_ai=of_ai,
        )  # fmt: skip
        if bias.value and bias.strength >= max(SPLITTING, by_chance):
            yield bias


def _share(count: int, of: int) -> str:
    if count in (0, of):
        return "all" if count else "none"
    share = 100 * count / of
    return f"{share:.0f}%" if 1 <= share <= 99 else f"{min(max(share, 0.1), 99.9):.1f}%"
