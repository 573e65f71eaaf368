import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from legacy import save_legacy
from pyrite.converting.pickled import read_pickled
from pyrite.errors import ExportError

MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)


def test_tensors_are_read_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "a kernel": rng.normal(size=(4, 3, 2, 2)).astype(np.float32),
        "its axes in another order": rng.normal(size=(2, 2, 3, 4)).astype(np.float32).transpose(3, 2, 0, 1),
        "halves": rng.normal(size=5).astype(np.float16),
        "doubles": rng.normal(size=(2, 3)),
        "a count": np.array(7, np.int64),
    }
    path = tmp_path / "weights.pth"
    path.write_bytes(save_legacy(tensors, monkeypatch))
    found = read_pickled(path)
    assert list(found) == list(tensors)
    for name, values in tensors.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


class Command:
    def __reduce__(self) -> object:
        return os.system, ("touch harmed",)


@pytest.mark.parametrize("where", range(4))
def test_nothing_that_a_pickle_asks_for_is_run(where: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = [0x1950A86A20F9469CFC6C, 1001, {}, Command()]
    values[where] = Command()
    path = tmp_path / "weights.pth"
    path.write_bytes(b"".join(pickle.dumps(value, 2) for value in values))
    with pytest.raises(ExportError, match=r"weights\.pth does not hold tensors .* it asks for \w+\.system"):
        read_pickled(path)
    assert not Path("harmed").exists()


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", pickle.dumps(3, 2), MAGIC, MAGIC + pickle.dumps([1], 2), b"\x80\x02" + bytes(99)]
)
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"weights\.pth does not hold tensors as PyTorch saved them before 1\.6"):
        read_pickled(path)


def test_a_file_that_is_cut_short_is_refused_wherever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = save_legacy({"a": np.ones((2, 3), np.float32), "b": np.ones(4, np.float32)}, monkeypatch)
    path = tmp_path / "weights.pth"
    for end in range(len(content)):
        path.write_bytes(content[:end])
        with pytest.raises(ExportError, match="does not hold tensors"):
            read_pickled(path)


def test_a_tensor_outside_of_its_storage_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = save_legacy({"a": np.ones(6, np.float32)}, monkeypatch)
    path = tmp_path / "weights.pth"
    # The shape (6,) is a small number in the pickle.
    for wrong in (b"K\x07\x85", b"J\xff\xff\xff\x7f\x85", b"J\xff\xff\xff\xff\x85"):
        path.write_bytes(content.replace(b"K\x06\x85", wrong, 1))
        with pytest.raises(ExportError, match="outside of its storage"):
            read_pickled(path)
