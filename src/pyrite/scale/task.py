"""What is to be done with each shard: the same on every worker, and the same after a restart."""

import hashlib
from dataclasses import dataclass, field

import msgspec

from pyrite.bundle import Bundle
from pyrite.image import Limits
from pyrite.scale.keeping import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a scan's results depend on, beside the bundle and the source."""

    max_fpr: float | None = None
    """As in `Detector`."""
    evidence: bool = True
    """As in `Detector`."""
    trust_anchors: bytes | None = field(default=None, repr=False)
    """As in `Detector`."""
    limits: Limits = field(default_factory=Limits)
    """What one image may cost."""
    timeout: float = 60.0
    """Seconds that one batch may take to be decoded and judged, and then each of its images by itself."""
    memory: int = 4_000_000_000
    """Bytes that the process that decodes may take."""
    batch_size: int = 64
    """Images scored at a time."""
    shard_size: int = 1024
    """Single images in a shard."""
    rules: Rules | None = None
    """What becomes of an image by its verdict."""

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


def bundle_sha256(bundle: Bundle) -> str:
    """Return one hash for all of a bundle: its manifest has those of its files."""
    return hashlib.sha256(msgspec.json.encode(bundle.info, order="sorted")).hexdigest()
