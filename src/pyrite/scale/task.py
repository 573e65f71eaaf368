"""What is to be done with each shard: the same on every worker, and the same after a restart."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version

import msgspec

from pyrite.bundle import Bundle
from pyrite.evidence import Trust, describe_trust
from pyrite.image import Limits
from pyrite.scale.keeping import Rules

_PACKAGES = ("c2pa-python", "numpy", "onnxruntime", "pillow", "pillow-heif", "pyrite")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a scan's results depend on, beside the bundle and the source."""

    max_fpr: float | None = None
    """As in `Detector`."""
    evidence: bool = True
    """As in `Detector`."""
    trust: Trust = field(default_factory=Trust.default, repr=False)
    """As in `Detector`."""
    limits: Limits = field(default_factory=Limits)
    """What one image may cost."""
    timeout: float = 60.0
    """Seconds that one image may take to be decoded, and a batch to be scored."""
    memory: int = 4_000_000_000
    """Bytes that the process that decodes may take."""
    batch_size: int = 64
    """Images scored at a time."""
    shard_size: int = 1024
    """Single images in a shard."""
    near_duplicates: bool = False
    """Whether images get a perceptual hash, and are grouped by it."""
    rules: Rules | None = None
    """What becomes of an image by its verdict."""

    def record(self) -> dict[str, object]:
        """Return all of it for a manifest, and of trust lists what they are called instead of their certificates."""
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
    bundle: Bundle
    settings: Settings
    packages: dict[str, str]
    """What the scan was begun with, by `packages`."""
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


def packages() -> dict[str, str]:
    """Return the versions of what verdicts depend on, without what is not installed."""
    found = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def packages_differ(wanted: dict[str, str]) -> str:
    """Return which of the packages that a scan was begun with are others here; empty where all are the same."""
    here = packages()
    names = [name for name in _PACKAGES if wanted.get(name) != here.get(name)]
    return ", ".join(f"{name} {wanted[name]}" if name in wanted else f"no {name}" for name in names)


def bundle_sha256(bundle: Bundle) -> str:
    """Return one hash for all of a bundle: its manifest has those of its files."""
    return hashlib.sha256(msgspec.json.encode(bundle.info, order="sorted")).hexdigest()
