"""Ports for servers that a test starts."""

import random
import socket
from contextlib import ExitStack

# Not `random` itself: training seeds that, and then all tests that run at a time would choose the same ports.
_RANDOM = random.SystemRandom()


def free_ports(count: int = 1) -> list[int]:
    """Return ports that are free, none of those that a system gives to connections: one may come before the server."""
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            held, port = stack.enter_context(socket.socket()), _RANDOM.randrange(15_000, 32_000)
            try:
                held.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
    return found
