"""What Prometheus is told."""

from collections.abc import Callable

_LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The counters of one server."""

    def __init__(self, queued: Callable[[], int]) -> None:
        """Make them.

        Args:
            queued: Tells how many images have been accepted and not been answered yet.
        """
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

        self._registry = kept = CollectorRegistry()
        ProcessCollector(registry=kept)
        self._requests = Counter("pyrite_requests", "Requests answered.", ["route", "method", "status"], registry=kept)
        self._seconds = Histogram(
            "pyrite_request_seconds",
            "From a request's headers to its answer.",
            ["route"],
            buckets=_LATENCIES,
            registry=kept,
        )
        self._images = Counter("pyrite_images", "Images answered, by verdict or error.", ["outcome"], registry=kept)
        self._rejections = Counter("pyrite_rejections", "Requests refused, by error code.", ["code"], registry=kept)
        self._batches = Histogram(
            "pyrite_batch_images", "Images that the model scored at once.", buckets=_SIZES, registry=kept
        )
        self._killed = Counter("pyrite_decoders_killed", "Decoders that were killed or crashed.", registry=kept)
        queue = Gauge("pyrite_queue_images", "Images accepted and not answered yet.", registry=kept)
        queue.set_function(queued)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count an answer; seconds are since the request's headers."""
        self._requests.labels(route, method, status).inc()
        self._seconds.labels(route).observe(seconds)

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

        return generate_latest(self._registry)
