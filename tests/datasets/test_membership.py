import hashlib

import numpy as np
import pytest

from pyrite.datasets import recognise, remember
from pyrite.errors import BundleError

HASHES = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(1000)]


def test_what_was_remembered_is_recognised_and_nothing_else() -> None:
    content = remember([*HASHES[:500], *HASHES[:3]])
    assert len(content) == 8 * 500
    assert recognise(content, ["", *HASHES]).tolist() == [False, *[True] * 500, *[False] * 500]


def test_the_content_is_the_hashes_first_bytes_in_order() -> None:
    assert remember(["ff" * 32, "00" * 7 + "01" + "ee" * 24]) == bytes(7) + b"\x01" + b"\xff" * 8


def test_nothing_remembered_recognises_nothing() -> None:
    assert remember([]) == b""
    np.testing.assert_array_equal(recognise(b"", HASHES[:2]), [False, False])
    assert recognise(remember(HASHES), []).tolist() == []


def test_damage_is_told() -> None:
    with pytest.raises(BundleError, match="does not hold whole hashes"):
        recognise(b"1234567", HASHES)


@pytest.mark.parametrize("first", ["0", "7", "8", "f"])
def test_a_single_hash_is_recognised_whatever_it_is(first: str) -> None:
    hashes = [first + "0" * 63, first + "f" * 63, "", "a" * 64]
    assert recognise(remember(hashes[:1]), hashes).tolist() == [True, False, False, False]
