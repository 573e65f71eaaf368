import threading
from collections.abc import Iterator

import pytest

from pyrite.prefetch import prefetch
from waiting import eventually


def test_the_same_items_come_in_order() -> None:
    assert list(prefetch(iter([3, None, 1]))) == [3, None, 1]
    assert list(prefetch(iter(()))) == []


def test_one_is_made_while_another_is_worked_on_and_no_more() -> None:
    made, room = [threading.Event() for _ in range(4)], threading.Semaphore(2)

    def slow() -> Iterator[int]:
        for i, event in enumerate(made):
            assert room.acquire(timeout=0), "one too many"
            event.set()
            yield i

    for i in prefetch(slow()):
        if i + 1 < len(made):
            assert eventually(made[i + 1].is_set)
        room.release()


def test_an_error_comes_where_its_item_would() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    got = prefetch(broken())
    assert next(got) == 1
    with pytest.raises(OSError, match="gone"):
        next(got)


def test_it_can_be_left_early() -> None:
    left = prefetch(iter(range(5)))
    next(left)
    left.close()
    assert list(left) == []
