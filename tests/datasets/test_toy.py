import hashlib

import numpy as np
import pytest
from PIL import Image

from pyrite.datasets import Dataset, make_toy
from pyrite.datasets.labels import CIFAR_OBJECTS
from pyrite.errors import DatasetError


def pixels(dataset):
    return np.stack([np.asarray(Image.open(dataset.storage._root / path)) for path in dataset.paths])


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    make_toy(folder, count=1200, size=32, seed=0)
    dataset = Dataset.open(folder)
    return dataset, pixels(dataset)


def test_it_has_the_layout_of_cifake(toy):
    dataset, images = toy
    assert images.shape == (1200, 32, 32, 3)
    assert np.bincount(dataset.labels).tolist() == [600, 600]
    assert [dataset.splits.count(name) for name in ("train", "test")] == [960, 240]
    assert list(dataset.slices) == ["object"]
    assert set(dataset.slices["object"]) == set(CIFAR_OBJECTS)
    assert "test/FAKE/0000 (10).png" in dataset.paths


def test_no_two_images_are_alike(toy):
    assert len({image.tobytes() for image in toy[1]}) == 1200


@pytest.mark.parametrize(("count", "size", "classes"), [(2, 2, [1, 1]), (7, 31, [4, 3]), (20, 16, [10, 10])])
def test_any_count_and_size(tmp_path, count, size, classes):
    make_toy(tmp_path, count=count, size=size)
    dataset = Dataset.open(tmp_path)
    assert np.bincount(dataset.labels).tolist() == classes
    assert pixels(dataset).shape == (count, size, size, 3)


def test_the_seed_decides_every_pixel(tmp_path):
    def digest(name, seed):
        make_toy(tmp_path / name, count=6, seed=seed)
        return hashlib.sha256(pixels(Dataset.open(tmp_path / name)).tobytes()).hexdigest()

    assert digest("a", 3) == digest("b", 3) != digest("c", 4)


@pytest.mark.parametrize(("share", "splits"), [(0.0, {"train"}), (0.5, {"train", "test"}), (1.0, {"test"})])
def test_the_share_of_test(tmp_path, share, splits):
    make_toy(tmp_path, count=40, test_share=share)
    assert set(Dataset.open(tmp_path).splits) == splits


def test_what_cannot_be_made_is_refused(tmp_path):
    for count, size in ((1, 32), (0, 32), (10, 1)):
        with pytest.raises(DatasetError, match="at least 2 images of 2 pixels"):
            make_toy(tmp_path, count=count, size=size)
    make_toy(tmp_path, count=4)
    with pytest.raises(DatasetError, match="holds a dataset already"):
        make_toy(tmp_path, count=2)


def accuracy(features, labels):
    """Of a logistic regression, on images it was not fitted to."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return cross_val_score(make_pipeline(StandardScaler(), LogisticRegression()), features, labels, cv=5).mean()


def test_colour_and_contrast_tell_nothing(toy):
    dataset, images = toy
    colour = images.mean((1, 2))
    assert accuracy(colour, dataset.labels) < 0.56
    assert accuracy(np.hstack([colour, images.std((1, 2))]), dataset.labels) < 0.6


def test_the_trace_is_there_to_be_learned(toy):
    """Drawn by twos, pixels differ less within a pair than across: the trace that a network can find."""
    dataset, images = toy
    grey = images.mean(-1)
    across, down = (np.abs(np.diff(grey, axis=axis)) for axis in (2, 1))
    within = across[:, :, 0::2].mean((1, 2)) + down[:, 0::2].mean((1, 2))
    between = across[:, :, 1::2].mean((1, 2)) + down[:, 1::2].mean((1, 2))
    ratio = np.log(within / between)[:, None]
    assert 0.85 < accuracy(ratio, dataset.labels) < 0.995
