"""What a recipe's limit reads of a dataset."""

from pathlib import Path

import pytest
from PIL import Image

from pyrite.datasets import Dataset
from pyrite.datasets.storage import FolderStorage, open_storage
from pyrite.publishing.preparation import prepare_dataset
from pyrite.recipe import load_recipe


def test_a_limit_reads_what_it_uses_and_what_could_be_a_copy_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    for number in range(240):
        part, label = ("test" if number % 3 == 0 else "train"), ("real", "ai")[number % 2]
        path = folder / part / label / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        # A size of its own for each, so that its bytes say that it is no copy.
        Image.new("RGB", (32, 32 + number), (number,) * 3).save(path)
    dataset, read = Dataset.open(folder), list[str]()
    original = FolderStorage.read

    def noted(storage: FolderStorage, name: str) -> bytes:
        read.append(name)
        return original(storage, name)

    monkeypatch.setattr(FolderStorage, "read", noted)
    recipe = load_recipe("tiny", ["protocol=official", "limit=90"])
    prepared = prepare_dataset(dataset, recipe, lambda stage: None)
    assert len(prepared.dataset) == 90
    assert set(read) == set(prepared.dataset.paths)

    # A test image that the limit leaves out, and of which there are copies in training.
    left_out = next(p for p in dataset.paths if p.startswith("test/") and p not in prepared.dataset.paths)
    for path in (folder / "train").rglob("*.bmp"):
        path.write_bytes((folder / left_out).read_bytes() if "real" in str(path) else path.read_bytes())
    read.clear()
    copied = Dataset.open(folder)
    with pytest.raises(Exception, match="no real images"):
        prepare_dataset(copied, recipe, lambda stage: None)
    assert left_out in read


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_sizes_are_known_without_reading(kind: str, tmp_path: Path) -> None:
    import shutil

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").write_bytes(b"12345")
    place = tmp_path / "data"
    storage = open_storage(place if kind == "folder" else Path(shutil.make_archive(str(place), kind, place)))
    assert storage.size("a.png") == 5
