"""What a server says of itself: what judges, what a request may bring, and images to try. Each is JSON."""

from importlib.metadata import version

import msgspec

from pyrite.detector import Detector
from pyrite.golden import golden_files
from pyrite.serving.schemas import Bounds, Budget, BundleCard, Card, ExampleImage, ExamplesResponse
from pyrite.serving.settings import ServerSettings


def model_card(detector: Detector) -> bytes:
    """Return what judges, as a `Card`."""
    bundles = [
        BundleCard(
            name=bundle.info.name,
            version=bundle.info.version,
            sha256=bundle.sha256,
            licence=bundle.info.licence,
            scope=bundle.info.scope,
            training=bundle.info.training,
            card=bundle.files.get("card.md", b"").decode("utf-8", "replace"),
        )
        for bundle in detector.bundles
    ]
    first = bundles[0]
    return msgspec.json.encode(
        Card(
            name=detector.model.name,
            version=detector.model.version,
            licence=first.licence,
            scope=first.scope,
            policy=detector.policy,
            calibration=detector.bundles[0].info.calibration,
            training=first.training,
            card=first.card,
            device=detector.device,
            pyrite=version("pyrite"),
            bundles=bundles,
        )
    )


def bounds_of(settings: ServerSettings, detector: Detector) -> bytes:
    """Return what a request may bring, as `Bounds`."""
    return msgspec.json.encode(
        Bounds(
            max_bytes=settings.max_bytes,
            max_pixels=settings.max_pixels,
            max_files=settings.max_files,
            max_request_bytes=settings.max_request_bytes,
            max_fpr=Budget(smallest=detector.smallest_max_fpr, default=detector.policy.max_fpr),
            timeout_seconds=settings.request_seconds,
        )
    )


def examples_of(detector: Detector) -> bytes:
    """Return the golden images of the first bundle, as an `ExamplesResponse`.

    Raises:
        BundleError: Its golden.json is not valid.
    """
    files = golden_files(detector.bundles[0])
    return msgspec.json.encode(
        ExamplesResponse(examples=[ExampleImage(name=name, picture=png) for name, png in files.items()])
    )
