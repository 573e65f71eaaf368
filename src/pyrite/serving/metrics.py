"""What Prometheus is told."""

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pyrite.bundle import Bundle

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

_LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The counters of one server."""

    def __init__(
        self, held: Mapping[str, Callable[[], int]], bundles: Sequence[Bundle], device: str, folder: Path | None = None
    ) -> None:
        """Make them.

        Args:
            held: Tells for `uploads`, `images` and `explanations` how many are at work now.
            bundles: What judges.
            device: What they run on.
            folder: Where the workers of a server leave their counters, if there are several. It must be in the
                environment as `PROMETHEUS_MULTIPROC_DIR` from before this process began.
        """
        from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
        from prometheus_client.multiprocess import MultiProcessCollector

        # When each series began is told by nobody's dashboard, and doubles the page.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._held, self._bundles, self._device = held, bundles, device
        self._root = os.getpid() if folder is None else os.getppid()
        own = CollectorRegistry()
        self._page = own if folder is None else CollectorRegistry()
        if folder is None:
            ProcessCollector(registry=self._page)
        else:
            MultiProcessCollector(self._page, str(folder))  # type: ignore[no-untyped-call]
        self._page.register(self)
        self._requests = Counter("pyrite_requests", "Requests answered.", ["route", "method", "status"], registry=own)
        self._seconds = Histogram(
            "pyrite_request_seconds",
            "From a request's headers to its answer.",
            ["route"],
            buckets=_LATENCIES,
            registry=own,
        )
        self._stages = Histogram(
            "pyrite_stage_seconds",
            "Of requests at a stage; of many images, those of the slowest.",
            ["stage"],
            buckets=_LATENCIES,
            registry=own,
        )
        self._images = Counter("pyrite_images", "Images answered, by verdict or error.", ["outcome"], registry=own)
        self._rejections = Counter("pyrite_rejections", "Requests refused, by error code.", ["code"], registry=own)
        self._batches = Histogram(
            "pyrite_batch_images", "Images that the model scored at once.", buckets=_SIZES, registry=own
        )
        self._killed = Counter("pyrite_decoders_killed", "Decoders that were killed or crashed.", registry=own)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer; seconds are since the request's headers."""
        self._requests.labels(route, method, status).inc()
        self._seconds.labels(route).observe(seconds)

    def stage(self, stage: str, seconds: float) -> None:
        """Count what a request spent at a stage."""
        self._stages.labels(stage).observe(seconds)

    def image(self, outcome: str) -> None:
        """Count an image, by its verdict or as an `error`."""
        self._images.labels(outcome).inc()

    def rejection(self, code: str) -> None:
        """Count a refused request."""
        self._rejections.labels(code).inc()

    def batch(self, size: int) -> None:
        """Count a batch of the model."""
        self._batches.observe(size)

    def killed(self) -> None:
        """Count a process that did not survive an image."""
        self._killed.inc()

    def page(self) -> bytes:
        """Return all of them as Prometheus reads them."""
        from prometheus_client import generate_latest

        return generate_latest(self._page)

    def collect(self) -> "Iterable[Metric]":
        """Yield what is found out only when it is asked for, which is the same whichever worker is asked."""
        from prometheus_client.core import GaugeMetricFamily

        names = {
            "uploads": ("pyrite_uploads", "Requests with images that are received or worked on."),
            "images": ("pyrite_queue_images", "Images accepted and not answered yet."),
            "explanations": ("pyrite_explanations", "Explanations, histories and thumbnails at work or waiting."),
        }
        for what, (name, told) in names.items():
            yield GaugeMetricFamily(name, told, value=self._held[what]())
        build = GaugeMetricFamily("pyrite_build_info", "What serves.", labels=["version", "python", "onnxruntime"])
        build.add_metric([version("pyrite"), platform.python_version(), _installed("onnxruntime")], 1)
        yield build
        bundles = GaugeMetricFamily(
            "pyrite_bundle_info", "What judges.", labels=["name", "version", "sha256", "device"]
        )
        for bundle in self._bundles:
            bundles.add_metric([bundle.info.name, bundle.info.version, bundle.sha256, self._device], 1)
        yield bundles
        yield from _processes(self._root)


def _installed(package: str) -> str:
    from importlib.metadata import PackageNotFoundError

    try:
        return version(package)
    except PackageNotFoundError:  # As where a build for GPUs is in its place.
        return "unknown"


def _processes(root: int) -> "Iterable[Metric]":
    """Yield what the processes of a server take: those that serve, and those that decode and explain.

    Args:
        root: The process that all others come from.
    """
    import psutil
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    count = GaugeMetricFamily("pyrite_processes", "Processes of this server.", labels=["role"])
    memory = GaugeMetricFamily("pyrite_processes_resident_bytes", "Memory that they hold.", labels=["role"])
    seconds = CounterMetricFamily("pyrite_processes_cpu_seconds", "CPU time that they took.", labels=["role"])
    # What has ended is in the times of what it came from.
    serving = {root} if root == os.getpid() else {root, *(one.pid for one in psutil.Process(root).children())}
    found: dict[str, list[tuple[int, float, float]]] = {"server": [], "children": []}
    for process in (psutil.Process(root), *psutil.Process(root).children(recursive=True)):
        try:
            with process.oneshot():
                times = process.cpu_times()
                ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
                own = times.user + times.system
                rss = process.memory_info().rss
        except psutil.Error:
            continue
        found["server" if process.pid in serving else "children"].append((rss, own, ended))
    for role, several in found.items():
        count.add_metric([role], len(several))
        memory.add_metric([role], sum(rss for rss, _, _ in several))
    own_seconds = {role: sum(own for _, own, _ in several) for role, several in found.items()}
    ended_seconds = sum(ended for several in found.values() for _, _, ended in several)
    seconds.add_metric(["server"], own_seconds["server"])
    seconds.add_metric(["children"], own_seconds["children"] + ended_seconds)
    yield from (count, memory, seconds)
