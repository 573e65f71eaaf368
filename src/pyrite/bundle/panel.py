"""Panels: bundles that judge images together, within one error budget.

Where bundles were calibrated together, on the same images, their scores become one p-value by that; see
`pyrite.bundle.joint`. Such a panel is kept in a small JSON file that names its bundles by hash. Bundles that were
calibrated apart share their budget by Bonferroni, which always holds and finds less.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import msgspec

from pyrite.bundle.bundle import Bundle, load_bundle
from pyrite.bundle.calibration import Calibration
from pyrite.bundle.joint import JointCalibration
from pyrite.decision import Policy, Scope
from pyrite.errors import BundleError
from pyrite.writing import whole_file

FORMAT: Literal[1] = 1


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which bundle is meant by a name."""

    sha256: str
    """`Bundle.sha256`."""
    path: str
    """Where it lies, from the folder of the panel's file."""


class PanelInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of a panel's file."""

    format: Literal[1] = FORMAT
    calibration: JointCalibration
    bundles: dict[str, Member] = {}
    """By member of the calibration; none where the detectors run elsewhere, and only their scores are known."""
    data: str
    """The name of the table or dataset that calibrated it."""
    data_sha256: str
    seed: int
    command: str
    commit: str | None
    packages: dict[str, str]

    def __post_init__(self) -> None:
        if self.bundles and set(self.bundles) != set(self.calibration.members):
            raise ValueError("bundles must be those of the calibration's members")


@dataclass(frozen=True, slots=True)
class Panel:
    """Bundles that judge together; one alone is a panel as well."""

    bundles: tuple[Bundle, ...]
    """At least one."""
    calibration: JointCalibration | None = None
    """Of all of them together, by their names; `None` where each has its own."""
    data_sha256: str | None = None
    """Of the data that calibrated them together."""

    @classmethod
    def open(cls, chosen: "Sequence[Bundle | str | Path]") -> Self:
        """Load bundles, or the one panel whose file is named.

        Raises:
            BundleError: One cannot be used, or a panel is not alone.
        """
        files = [one for one in chosen if not isinstance(one, Bundle) and is_panel(Path(one))]
        if not files:
            return cls(tuple(one if isinstance(one, Bundle) else load_bundle(one) for one in chosen))
        if len(chosen) > 1:
            raise BundleError(
                f"{files[0]} is a panel, which cannot be combined with others. Calibrate one panel of all the bundles."
            )
        info, _ = load_panel(Path(files[0]))
        return cls(_load_members(info, Path(files[0])), info.calibration, info.data_sha256)

    @property
    def sha256(self) -> str:
        """A hash of all of it, in hexadecimal."""
        joint = b"" if self.calibration is None else msgspec.json.encode(self.calibration, order="sorted")
        return hashlib.sha256("".join(bundle.sha256 for bundle in self.bundles).encode() + joint).hexdigest()

    @property
    def policy(self) -> Policy:
        """The smallest error budgets of its bundles."""
        own = [bundle.info.policy for bundle in self.bundles]
        return Policy(
            max_fpr=min(one.max_fpr for one in own),
            max_fnr=min(one.max_fnr for one in own),
            real_needs_provenance=any(one.real_needs_provenance for one in own),
        )

    @property
    def budgets(self) -> tuple[float, ...]:
        """The different error budgets that its bundles keep to, ascending; one, where it was calibrated as one."""
        if self.calibration is not None:
            return (self.policy.max_fpr,)
        return tuple(sorted({bundle.info.policy.max_fpr for bundle in self.bundles}))

    def why_no_budget(self) -> str | None:
        """Return a sentence where the bundles keep to different error budgets, so that it has none of its own."""
        if len(self.budgets) == 1:
            return None
        told = " and ".join(f"{budget:g}" for budget in self.budgets)
        return f"These bundles have different error budgets, {told}. Choose one with --max-fpr."

    @property
    def smallest_max_fpr(self) -> float:
        """The smallest error budget that its calibration can resolve; 1 without real images."""
        if self.calibration is not None:
            return self.calibration.smallest_p_real
        kept = zip(self.bundles, self.share_counts(ai=False), strict=True)
        smallest = [count * bundle.info.calibration.smallest_p_real for bundle, count in kept if count]
        return min(1.0, max(smallest, default=1.0))

    def too_few(self, policy: Policy | None = None) -> tuple[str, ...]:
        """Return a sentence for each error budget that there are too few calibration images for.

        Args:
            policy: The budgets; by default, each bundle's own, and of a panel that was calibrated as one, the smallest.
        """
        if self.calibration is not None:
            return self.calibration.too_few(policy or self.policy)
        counts = zip(self.share_counts(ai=False), self.share_counts(ai=True), strict=True)
        return tuple(
            f"{bundle.info.name}: {sentence}"
            for bundle, (of_real, of_ai) in zip(self.bundles, counts, strict=True)
            for sentence in bundle.info.calibration.too_few(
                policy or bundle.info.policy, sharing=(max(1, of_real), max(1, of_ai))
            )
        )

    def share_counts(self, *, ai: bool) -> tuple[int, ...]:
        """Return for each bundle how many share an error budget with it, itself among them; 0 without such images.

        Bundles share one where an image may be in the scope of both, or of both and a third.

        Args:
            ai: Whether the budget is for AI images.
        """
        with_images = [bool(_images(bundle.info.calibration, ai=ai)) for bundle in self.bundles]
        scopes = [bundle.info.scope for bundle in self.bundles]
        places = list(range(len(scopes)))
        for i, one in enumerate(scopes):
            for j, other in enumerate(scopes[:i]):
                if with_images[i] and with_images[j] and _overlap(one, other):
                    places = [places[i] if place == places[j] else place for place in places]
        return tuple(places.count(place) if there else 0 for place, there in zip(places, with_images, strict=True))


def is_panel(path: Path) -> bool:
    """Say whether a path is that of a panel's file, and not of a bundle."""
    return path.suffix.lower() == ".json" and not path.is_dir()


def save_panel(info: PanelInfo, path: Path) -> None:
    """Write a panel's file.

    Raises:
        BundleError: It cannot be written.
    """
    try:
        with whole_file(path) as draft:
            draft.write_bytes(msgspec.json.encode(info) + b"\n")
    except OSError as error:
        raise BundleError(f"{path} cannot be written: {error.strerror}.") from error


def load_panel(path: Path) -> tuple[PanelInfo, str]:
    """Read a panel's file; return it with its SHA-256, in hexadecimal.

    Raises:
        BundleError: It is missing, damaged or not understood.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return msgspec.json.decode(data, type=PanelInfo), hashlib.sha256(data).hexdigest()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path} is not a panel that this version understands: {error}.") from error


def describe_members(bundles: Sequence[Bundle], path: Path) -> dict[str, Member]:
    """Return how a panel's file names its bundles.

    Args:
        bundles: Each from a folder or a zip, and each with a name of its own.
        path: Of the panel's file.

    Raises:
        BundleError: Two have one name, or one lies nowhere.
    """
    names = [bundle.info.name for bundle in bundles]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BundleError(f"Two bundles are named {twice}. A panel tells its bundles apart by their names.")
    if homeless := next((bundle.info.name for bundle in bundles if bundle.path is None), None):
        raise BundleError(f"The bundle {homeless} was made in memory. Save it first.")
    folder = path.absolute().parent
    return {
        bundle.info.name: Member(sha256=bundle.sha256, path=Path(os.path.relpath(bundle.path, folder)).as_posix())
        for bundle in bundles
        if bundle.path
    }


def _load_members(info: PanelInfo, path: Path) -> tuple[Bundle, ...]:
    if not info.bundles:
        raise BundleError(
            f"{path} is a panel of detectors that run elsewhere: it has no bundles to judge images with. "
            "Judge tables of their scores with: pyrite scores judge"
        )
    return tuple(_load_member(name, info.bundles, path) for name in info.calibration.members)


def _load_member(name: str, members: Mapping[str, Member], path: Path) -> Bundle:
    member = members[name]
    try:
        bundle = load_bundle(path.absolute().parent / member.path)
    except BundleError as error:
        raise BundleError(f"{name} of the panel {path} cannot be used: {error}") from error
    if bundle.sha256 != member.sha256 or bundle.info.name != name:
        raise BundleError(f"The bundle at {bundle.path} is not the {name} that the panel {path} was calibrated with.")
    return bundle


def _images(calibration: Calibration, *, ai: bool) -> Mapping[str, Sequence[float]]:
    return calibration.ai if ai else calibration.real


def _overlap(one: Scope, other: Scope) -> bool:
    """Say whether an image may be in both scopes."""
    longest = [scope.max_side for scope in (one, other) if scope.max_side is not None]
    return max(one.min_side, other.min_side) <= min(longest, default=max(one.min_side, other.min_side))
