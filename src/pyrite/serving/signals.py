"""What a server does when it is told to stop, or to read its keys again."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_signals(
    *, stop: Callable[[], None], seconds: float, abandon: Callable[[], None], reload: Callable[[], None]
) -> Iterator[None]:
    """Let a server that is told to stop go on for a while before it does, and call `reload` at each SIGHUP.

    What runs the server has its own way to end it, which is what comes then. A second SIGINT or SIGTERM cuts the while
    short, and one after it calls `abandon`. Where this is not the main thread, signals are for others.

    Args:
        stop: Called at the first SIGINT or SIGTERM.
        seconds: From then until the server is ended.
        abandon: Gives up what was accepted and is not answered yet.
        reload: Called at each SIGHUP.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    endings = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    stopping = False
    waiting: asyncio.TimerHandle | None = None

    def end(number: int) -> None:
        nonlocal waiting
        waiting = None
        ending = endings[signal.Signals(number)]
        if callable(ending):
            ending(number, None)

    def told(number: int) -> None:
        nonlocal stopping, waiting
        if not stopping:
            stopping = True
            stop()
            if seconds:
                waiting = loop.call_later(seconds, end, number)
            else:
                end(number)
        elif waiting:
            waiting.cancel()
            end(number)
        else:
            abandon()

    def handle(number: int, _: FrameType | None) -> None:
        loop.call_soon_threadsafe(told, number)

    for number in endings:
        signal.signal(number, handle)
    if hasattr(signal, "SIGHUP"):
        loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        if hasattr(signal, "SIGHUP"):
            loop.remove_signal_handler(signal.SIGHUP)
        for number, ending in endings.items():
            if signal.getsignal(number) is handle:
                signal.signal(number, ending)
