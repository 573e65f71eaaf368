import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pyrite.errors import TrainingError
from pyrite.training.checkpoint import EpochLog, State, load_checkpoint, save_checkpoint

ROW = EpochLog(
    epoch=1,
    loss=0.6,
    accuracy=0.7,
    val_loss=0.65,
    val_accuracy=0.6,
    val_calibrated_loss=0.45,
    learning_rate=1e-3,
    seconds=2.5,
    images_per_second=100.0,
)
STATE = State(data_sha256="ab", epoch=1, step=3, loss_sum=1.8, history=(ROW,), best_epoch=1, best_loss=0.65)
GROUPS = {
    "model": [np.arange(5000, dtype=np.float32), np.float32(2.0), np.array([1, 2], np.uint32)],
    "optimizer": [np.array(7, np.int64)],
    "best": [],
}


@contextmanager
def no_room(size: int) -> Iterator[None]:
    """Let no file grow beyond `size` bytes, which fails like a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("state", [STATE, State(data_sha256="cd")], ids=["midway", "fresh"])
def test_what_is_saved_is_loaded(state: State, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    save_checkpoint(path, state, GROUPS)
    loaded, groups = load_checkpoint(path)
    assert loaded == state
    assert list(groups) == ["model", "optimizer"]
    for name, arrays in groups.items():
        for array, wanted in zip(arrays, GROUPS[name], strict=True):
            assert array.dtype == np.asarray(wanted).dtype
            np.testing.assert_array_equal(array, wanted)
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.npz"]


@pytest.mark.parametrize("size", [0, 200, 10_000, 20_500])
def test_without_room_the_last_checkpoint_is_untouched(size: int, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    save_checkpoint(path, STATE, GROUPS)
    before = path.read_bytes()
    with no_room(size), pytest.raises(TrainingError) as caught:
        save_checkpoint(path, State(data_sha256="later"), GROUPS)
    assert "could not be written" in str(caught.value)
    assert f"{path}, is untouched" in str(caught.value)
    assert "--resume" in str(caught.value)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.npz"]


def test_the_first_checkpoint_without_room_promises_no_other(tmp_path: Path) -> None:
    with no_room(100), pytest.raises(TrainingError) as caught:
        save_checkpoint(tmp_path / "checkpoint.npz", STATE, GROUPS)
    assert "untouched" not in str(caught.value)


def test_a_half_written_one_is_never_seen(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    save_checkpoint(path, STATE, GROUPS)
    path.with_suffix(".partial").write_bytes(b"what a killed process leaves")
    assert load_checkpoint(path)[0] == STATE
    save_checkpoint(path, State(data_sha256="later"), GROUPS)
    assert load_checkpoint(path)[0].data_sha256 == "later"


def damaged(good: bytes) -> dict[str, bytes]:
    flipped = bytearray(good)
    flipped[1000] ^= 1
    return {"empty": b"", "cut": good[:-100], "flipped": bytes(flipped), "other": b"not a zip", "pickle": b"\x80\x04N."}


@pytest.mark.parametrize("kind", ["empty", "cut", "flipped", "other", "pickle"])
def test_a_damaged_one_is_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npz"
    save_checkpoint(path, STATE, GROUPS)
    path.write_bytes(damaged(path.read_bytes())[kind])
    with pytest.raises(TrainingError) as caught:
        load_checkpoint(path)
    assert f"The checkpoint {path} cannot be read" in str(caught.value)
    assert "Start again in a new folder" in str(caught.value)


def test_another_npz_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(TrainingError, match="cannot be read"):
        load_checkpoint(tmp_path / "other.npz")
