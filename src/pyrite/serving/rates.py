"""How much one client may ask for in a time: requests, images, and their pixels."""

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyrite.errors import SettingsError
from pyrite.serving.refusal import Refusal
from pyrite.serving.settings import ServerSettings

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.storage import Storage

POLICY, LEFT = "RateLimit-Policy", "RateLimit"
"""Fields of draft-ietf-httpapi-ratelimit-headers-10: what is allowed, and what is left of it."""

_MEGAPIXEL = 1_000_000


@dataclass(frozen=True, slots=True)
class _Limit:
    unit: str
    """What is counted, in plural: the name of the policy."""
    amount: int
    """In a window."""
    each: int
    """How many of what is counted make one of the unit."""
    item: "RateLimitItem"
    """The limit in what is counted."""

    def __str__(self) -> str:
        window = str(self.item).partition(" per ")[2].removeprefix("1 ")
        return f"{self.amount:,} {self.unit} per {window}"


class RateLimits:
    """What each client has asked for in the window of each limit that is set; the first thing counted begins one."""

    def __init__(self, settings: ServerSettings, storage: "Storage | None" = None) -> None:
        """Take the limits.

        Args:
            settings: With the limits.
            storage: Where the counts are kept, if not here.

        Raises:
            SettingsError: One cannot be understood.
        """
        from limits.storage import MemoryStorage
        from limits.strategies import FixedWindowRateLimiter

        self._limiter = FixedWindowRateLimiter(MemoryStorage() if storage is None else storage)
        found = [
            _limit(settings, "rate_limit", "requests"),
            _limit(settings, "image_rate_limit", "images"),
            _limit(settings, "megapixel_rate_limit", "megapixels", _MEGAPIXEL),
        ]
        self._limits = [limit for limit in found if limit is not None]

    def count(self, client: str, *, requests: int = 0, images: int = 0, pixels: int = 0) -> None:
        """Count what a client asks for, all of it or none.

        Raises:
            Refusal: 429, with when to come again; or 413 for what no window has room for.
        """
        asked = {"requests": requests, "images": images, "megapixels": pixels}
        wanted = [(limit, asked[limit.unit]) for limit in self._limits if asked[limit.unit]]
        for limit, number in wanted:
            if number > limit.item.amount:
                sentence = f"These are more than {limit}, so they can never be judged together. Send fewer at a time."
                raise Refusal(413, "too_large", sentence)
            if not self._limiter.test(limit.item, client, cost=number):
                wait = {"Retry-After": str(self._window(limit, client)[1])}
                raise Refusal(
                    429, "too_many_requests", f"More than {limit} came from this address. Try again later.", wait
                )
        for limit, number in wanted:
            self._limiter.hit(limit.item, client, cost=number)

    def headers(self, client: str) -> list[tuple[bytes, bytes]]:
        """Return what tells a client of the limits, and of what it has left; nothing where there are none."""
        if not self._limits:
            return []
        policy = [f'"{one.unit}";q={one.amount};w={one.item.get_expiry()}' for one in self._limits]
        left = []
        for one in self._limits:
            remaining, seconds = self._window(one, client)
            left.append(f'"{one.unit}";r={remaining // one.each};t={seconds}')
        return [
            (POLICY.lower().encode(), ", ".join(policy).encode()),
            (LEFT.lower().encode(), ", ".join(left).encode()),
        ]

    def _window(self, limit: _Limit, client: str) -> tuple[int, int]:
        """Return what is left of a client's window, and for how many seconds; all of it before it has begun."""
        stats = self._limiter.get_window_stats(limit.item, client)
        if stats.remaining == limit.item.amount:
            return stats.remaining, limit.item.get_expiry()
        return stats.remaining, max(1, math.ceil(stats.reset_time - time.time()))


def _limit(settings: ServerSettings, setting: str, unit: str, each: int = 1) -> _Limit | None:
    from limits import parse

    text = getattr(settings, setting)
    if text is None:
        return None
    try:
        item = parse(text)
    except ValueError:
        raise SettingsError(f"The setting {setting} is not valid: {text!r} is not like 600/minute.") from None
    # Of a name of its own: limits of the same amount and window would count together.
    return _Limit(unit, item.amount, each, type(item)(item.amount * each, item.multiples, namespace=unit))
