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


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    make_toy(folder, count=40, size=160, seed=0)
    dataset = Dataset.open(folder)
    return dataset, pixels(dataset)


def mesh(images):
    """Return how much every other row and column is brighter or darker, against what noise would make of it."""
    grey = images.mean(-1, dtype=np.float64)
    signs = (-1.0) ** np.arange(grey.shape[1])
    means = grey - (np.roll(grey, 1, 1) + np.roll(grey, -1, 1) + np.roll(grey, 1, 2) + np.roll(grey, -1, 2)) / 4
    found = [np.abs((means * pattern).mean((1, 2))) for pattern in (signs[:, None], signs[None, :])]
    return np.minimum(*found)


def test_above_64_pixels_the_trace_is_a_mesh_that_making_images_smaller_removes(large):
    from sklearn.metrics import roc_auc_score

    dataset, images = large
    assert images.shape == (40, 160, 160, 3)
    assert roc_auc_score(dataset.labels, mesh(images)) > 0.97
    smaller = np.stack([np.asarray(Image.fromarray(image).resize((40, 40), 2)) for image in images])
    assert roc_auc_score(dataset.labels, mesh(smaller)) < 0.7


def test_above_64_pixels_colour_and_contrast_tell_little(large):
    from sklearn.metrics import roc_auc_score

    dataset, images = large
    for values in (images.mean((1, 2, 3)), images.std((1, 2, 3)), *images.mean((1, 2)).T):
        assert 0.3 < roc_auc_score(dataset.labels, values) < 0.7


def test_the_seed_decides_every_pixel_at_any_size_and_progress_is_told(tmp_path):
    told = []
    make_toy(tmp_path / "a", count=4, size=80, seed=3, progress=lambda done, total: told.append((done, total)))
    make_toy(tmp_path / "b", count=4, size=80, seed=3)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    a, b = (pixels(Dataset.open(tmp_path / name)) for name in "ab")
    np.testing.assert_array_equal(a, b)


def test_the_small_kind_is_what_it_was(toy):
    assert (
        hashlib.sha256(toy[1][:20].tobytes()).hexdigest()
        == "9e3418d0e3d712932c0fb04e830564780bb59846e0ace8c1ed53f884644d3e22"
    )


def test_the_trace_is_there_to_be_learned(toy):
    """Drawn by twos, pixels differ less within a pair than across: the trace that a network can find."""
    dataset, images = toy
    grey = images.mean(-1)
    across, down = (np.abs(np.diff(grey, axis=axis)) for axis in (2, 1))
    within = across[:, :, 0::2].mean((1, 2)) + down[:, 0::2].mean((1, 2))
    between = across[:, :, 1::2].mean((1, 2)) + down[:, 1::2].mean((1, 2))
    ratio = np.log(within / between)[:, None]
    assert 0.85 < accuracy(ratio, dataset.labels) < 0.995
