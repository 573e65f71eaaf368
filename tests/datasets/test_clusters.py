from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pyrite.datasets import Dataset
from pyrite.datasets.clusters import caution_of_clusters, find_clusters
from pyrite.datasets.storage import FolderStorage
from pyrite.errors import DatasetError


@pytest.fixture
def dataset(tmp_path):
    paths = tuple(f"videos/{i // 3}/{i}.png" for i in range(9))
    return Dataset(
        name="made", paths=paths, labels=np.zeros(9, np.int8), splits=(None,) * 9, slices={}, fingerprint="",
        storage=FolderStorage(tmp_path, []),
    )  # fmt: skip


def pictures(count):
    rng = np.random.default_rng(0)
    return np.stack(
        [
            np.asarray(Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).resize((32, 32)))
            for _ in range(count)
        ]
    )


def test_copies_near_copies_and_groups_belong_together(dataset):
    pixels = pictures(9)
    pixels[4] = pixels[1]
    pixels[5] = np.clip(pixels[2].astype(int) + 3, 0, 255)
    hashes = [str(i) for i in range(9)]
    hashes[4] = hashes[1]
    found = find_clusters(dataset, hashes, pixels, lambda done, total: None)
    assert found.searched
    assert found.numbers[4] == found.numbers[1]
    assert found.numbers[5] == found.numbers[2]
    assert len(set(found.numbers.tolist())) == 7
    grouped = dataset.grouped_by(None, r"videos/(\d)/")
    assert grouped.groups == ("0", "0", "0", "1", "1", "1", "2", "2", "2")
    found = find_clusters(grouped, hashes, pixels, lambda done, total: None)
    # The first two videos are joined by their copies.
    assert (found.numbers[:6] == found.numbers[0]).all()
    assert (found.numbers[6:] == found.numbers[6]).all()
    assert found.numbers[0] != found.numbers[6]
    found = find_clusters(dataset, hashes, None, lambda done, total: None)
    assert not found.searched
    assert len(set(found.numbers.tolist())) == 8


def test_images_in_no_group_are_alone(dataset):
    some = replace(dataset, groups=("a", "a", "", "", "b", "b", "", "", ""))
    found = find_clusters(some, [str(i) for i in range(9)], None, lambda done, total: None)
    assert len(set(found.numbers.tolist())) == 7
    assert "Groups: 2, and 5 images in none." in some.describe()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("folder", "x"), "from a column or from a pattern, not from both"),
        ((None, "("), r"--group-pattern \( is not a regular expression"),
        ((None, "photos/(.*)/"), r"matches no path of made, such as videos/0/0\.png"),
    ],
)
def test_groups_that_cannot_be_are_refused(dataset, arguments, sentence):
    with pytest.raises(DatasetError, match=sentence):
        dataset.grouped_by(*arguments)


def test_few_clusters_are_cautioned():
    assert caution_of_clusters(100, 90) is None
    assert (caution_of_clusters(100, 12) or "").startswith("The 100 images are of 12 groups")
