"""What is known of one request: for its line in the log, and for the seconds that its stages took."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class Record:
    """One request as it goes on."""

    request_id: str
    began: float = field(default_factory=time.perf_counter)
    key: str | None = None
    """The name of the API key that it came with."""
    bytes_in: int = 0
    """Of its body, as far as it was read."""
    bytes_out: int = 0
    """Of the answer's body."""
    images: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """How many of its images came to each verdict or to an `error`."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds by stage; of many images, those of the one that took longest."""
    code: str | None = None
    """Of the error that it was answered with."""

    def spend(self, stage: str, seconds: float) -> None:
        """Note how long an image, or the request itself, was at a stage."""
        self.stages[stage] = max(seconds, self.stages.get(stage, 0.0))

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Note how long what is within takes, however it ends."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spend(stage, time.perf_counter() - began)
