"""The next item is made while the last one is worked on."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(items: Iterator[T]) -> Iterator[T]:
    """Yield the same items, each made in a thread while the one before is worked on; never more than one waits.

    What making an item raises is raised where that item would come.
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="pyrite-ahead") as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item  # type: ignore[misc]
