"""What fuzzing begins with, and what it found: none of it breaks a target. `make fuzz` looks for more."""

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[1] / "fuzz"
SECONDS = 25  # of computing: a file that takes more is a bug


@pytest.fixture(scope="module")
def targets() -> Mapping[str, Callable[[bytes], None]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FUZZ)
        from targets import TARGETS
    return TARGETS


@pytest.fixture(scope="module")
def seeds() -> Mapping[str, list[bytes]]:
    before = list(sys.path)
    sys.path.insert(0, str(FUZZ))
    try:
        from seeds import make_seeds

        return make_seeds()
    finally:
        sys.path[:] = before


def test_every_target_has_seeds_and_takes_them(
    targets: Mapping[str, Callable[[bytes], None]], seeds: Mapping[str, list[bytes]]
) -> None:
    assert list(targets) == list(seeds)
    for name, target in targets.items():
        assert seeds[name]
        for data in (*seeds[name], b"", *(seed[: len(seed) // 2] for seed in seeds[name])):
            target(data)


def test_nothing_that_was_found_breaks_a_target(targets: Mapping[str, Callable[[bytes], None]]) -> None:
    for path in sorted((FUZZ / "crashes").glob("*/*")):
        began = time.process_time()
        targets[path.parent.name](path.read_bytes())
        assert time.process_time() - began < SECONDS, path


def test_a_target_raises_where_something_is_wrong(
    targets: Mapping[str, Callable[[bytes], None]],
    seeds: Mapping[str, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("a bug")

    for function in ("open_image", "read_metadata", "load_exif", "read_packet", "parse_manifest", "read_manifest"):
        monkeypatch.setattr(sys.modules["targets"], function, broken)
    for name in ("image", "metadata", "exif", "words", "bundle", "dataset_manifest"):
        with pytest.raises(KeyError, match="a bug"):
            targets[name](seeds[name][0])
