"""Counts for the rate limits, which the workers of one server share.

They are kept by the process that starts the workers, and each of these asks it. That takes about a tenth of a
millisecond a question, and only where there are both a rate limit and several workers.
"""

import secrets
import threading
from dataclasses import dataclass
from multiprocessing.managers import BaseManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limits.storage import Storage

_METHODS = ("incr", "get", "get_expiry", "check", "reset", "clear")


class _Keeper(BaseManager):
    """Gives others the one storage of this process."""


class _Remote(BaseManager):
    """Has the storage of another process."""


@dataclass(frozen=True, slots=True)
class RemoteRates:
    """Where the counts are kept."""

    address: Any
    """Of a socket on this machine, as the system's kind of those has it."""
    key: bytes
    """Without which nobody is let in."""

    def storage(self) -> "Storage":
        """Return the counts for `limits`, as those of another process."""
        from limits.storage import Storage

        _Remote.register("storage", exposed=_METHODS)
        manager = _Remote(self.address, self.key)
        manager.connect()
        remote = manager.storage()  # type: ignore[attr-defined]

        class Remote(Storage):
            STORAGE_SCHEME = None

            @property
            def base_exceptions(self) -> tuple[type[Exception], ...]:
                return (OSError, EOFError)

            def incr(self, key: str, expiry: int, amount: int = 1) -> int:
                return int(remote.incr(key, expiry, amount))

            def get(self, key: str) -> int:
                return int(remote.get(key))

            def get_expiry(self, key: str) -> float:
                return float(remote.get_expiry(key))

            def check(self) -> bool:
                return bool(remote.check())

            def reset(self) -> int | None:
                return remote.reset()  # type: ignore[no-any-return]

            def clear(self, key: str) -> None:
                remote.clear(key)

        return Remote()


def keep_rates() -> RemoteRates:
    """Keep counts in this process, as long as it lives, and return where others find them."""
    from limits.storage import MemoryStorage

    storage, key = MemoryStorage(), secrets.token_bytes(32)
    _Keeper.register("storage", callable=lambda: storage, exposed=_METHODS)
    server = _Keeper(authkey=key).get_server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return RemoteRates(server.address, key)
