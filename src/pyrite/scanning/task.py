"""What is to be done with each shard: the same on every worker, and the same after a restart."""

import hashlib
from dataclasses import dataclass, field, replace

import msgspec

from pyrite.bundle import JointCalibration
from pyrite.decision import Policy
from pyrite.evidence import Trust, describe_trust
from pyrite.image import Limits
from pyrite.provenance import JUDGING, installed_versions
from pyrite.results import Model
from pyrite.runtime import AUTO
from pyrite.scanning.columns import Columns
from pyrite.scanning.rules import Rules
from pyrite.scanning.shipping import Parcel


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSettings:
    """What a scan's results depend on, beside the bundle and the source."""

    max_fpr: float | None = None
    """As in `Detector`."""
    allow_real: bool = False
    """As in `Detector`."""
    evidence: bool = True
    """As in `Detector`."""
    trust: Trust = field(default_factory=Trust.default, repr=False)
    """As in `Detector`."""
    limits: Limits = field(default_factory=Limits)
    """What one image may cost."""
    device: str = AUTO
    """What the models run on, as `Detector` has it; a scan keeps to what it finds where it begins."""
    timeout: float = 60.0
    """Seconds that one image may take to be decoded, and a batch to be scored."""
    memory: int = 4_000_000_000
    """Bytes that the process that decodes may take, beside what its bundles do."""
    batch_size: int = 64
    """Images scored at a time."""
    shard_size: int = 1024
    """Single images in a shard."""
    columns: Columns = field(default_factory=Columns)
    """Which columns of the source are read, and which are passed through."""
    near_duplicates: bool = False
    """Whether images get a perceptual hash, and are grouped by it."""
    near_distance: int = 4
    """Bits, of 63, by which the hashes in a group may differ from that of the image that serves it."""
    rules: Rules | None = None
    """What becomes of an image by its verdict."""

    def record(self) -> dict[str, object]:
        """Return all of it for a manifest: of trust lists their names and dates, not their certificates."""
        plain: dict[str, object] = msgspec.json.decode(msgspec.json.encode(replace(self, trust=Trust())))
        return plain | {"trust": describe_trust(self.trust)}

    def fingerprint(self) -> str:
        """Return a hash of all of it."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """All that a worker needs to know."""

    out: str
    """A folder or URL."""
    bundles: tuple[Parcel, ...]
    """At least one."""
    calibration: JointCalibration | None = None
    """Of all of them together; see `Panel`."""
    model: Model
    """What all of them are called; see `Detector`."""
    policy: Policy
    settings: ScanSettings
    packages: dict[str, str]
    """What the scan was begun with, of `provenance.JUDGING`."""
    run: str
    """What this run is called; another one starts to count attempts anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of one shard."""

    shard: int
    images: int
    errors: int
    flagged: int
    """Images with the verdict `ai`."""
    seconds: float
    problem: str = ""
    """Why its results could not be written; empty where they were."""


def packages_differ(wanted: dict[str, str]) -> str:
    """Return which of the packages that a scan was begun with are others here; empty where all are the same."""
    here = installed_versions(JUDGING)
    names = [name for name in JUDGING if wanted.get(name) != here.get(name)]
    return ", ".join(f"{name} {wanted[name]}" if name in wanted else f"no {name}" for name in names)
