import hashlib

import numpy as np
import pytest

from pyrite.datasets import Dataset, split
from pyrite.datasets.storage import FolderStorage
from pyrite.errors import DatasetError

FRACTIONS = (0.7, 0.2, 0.1)


def content_hash(i):
    return hashlib.sha256(b"%d" % i).hexdigest()


def make(tmp_path, labels, splits=None):
    """Return a dataset of no files: splitting looks at hashes alone."""
    count = len(labels)
    return Dataset(
        name="made",
        paths=tuple(f"{i}.png" for i in range(count)),
        labels=np.array(labels, np.int8),
        splits=tuple(splits or [None] * count),
        slices={},
        fingerprint="",
        storage=FolderStorage(tmp_path, []),
    )


def sides(parts, count):
    """Return (count,) with 0, 1 and 2 for train, validation and test, and -1 for none."""
    side = np.full(count, -1)
    for number, indices in enumerate((parts.train, parts.validation, parts.test)):
        assert (side[indices] == -1).all()
        side[indices] = number
    return side


def test_golden_division(tmp_path):
    """Changing this changes every published split: raise the version of all bundles if it must be."""
    dataset = make(tmp_path, [0, 1] * 20, ["test", "test", *["train"] * 38])
    hashes = [content_hash(i) for i in range(40)]
    pooled = split(dataset, hashes, "pooled", FRACTIONS, 0)
    assert "".join(map(str, sides(pooled, 40))) == "1211000100000011000011000000001000200010"
    official = split(dataset, hashes, "official", (0.5, 0.4, 0.1), 7)
    assert "".join(map(str, sides(official, 40))) == "2210000011101101100100110011110000001101"
    assert (pooled.protocol, official.protocol) == ("pooled", "official")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """20,000 images: half of each class, in ten slices as in CIFAKE."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 20_000)
    dataset = make(tmp_path_factory.mktemp("none"), labels)
    return dataset, tuple(content_hash(i) for i in range(20_000)), rng.integers(0, 10, 20_000)


@pytest.mark.parametrize("fractions", [FRACTIONS, (0.8, 0.1, 0.1)])
@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_the_shares_hold_in_every_class_and_slice(large, fractions, seed):
    dataset, hashes, objects = large
    side = sides(split(dataset, hashes, "pooled", fractions, seed), len(dataset))
    assert (side >= 0).all()
    for label in (0, 1):
        for value in range(10):
            members = side[(dataset.labels == label) & (objects == value)]
            for number, share in enumerate(fractions):
                deviation = np.sqrt(share * (1 - share) / len(members))
                assert abs(np.mean(members == number) - share) < 4.5 * deviation
    for number, share in enumerate(fractions):
        assert abs(np.mean(side == number) - share) < 4.5 * np.sqrt(share * (1 - share) / len(side))


def test_another_seed_gives_an_independent_division(large):
    dataset, hashes, _ = large
    one, two = (sides(split(dataset, hashes, "pooled", FRACTIONS, seed), len(dataset)) for seed in (0, 1))
    assert (one == sides(split(dataset, hashes, "pooled", FRACTIONS, 0), len(dataset))).all()
    assert abs(np.mean(one == two) - (0.49 + 0.04 + 0.01)) < 0.02


@pytest.mark.parametrize("protocol", ["pooled", "official"])
def test_more_or_fewer_images_move_none(large, protocol):
    dataset, hashes, _ = large
    count = len(dataset)
    dataset = make(dataset.storage._root, dataset.labels, ["test" if i % 9 == 0 else "train" for i in range(count)])
    whole = sides(split(dataset, hashes, protocol, FRACTIONS, 0), count)
    chosen = np.random.default_rng(1).permutation(count)[:5000]  # in another order, too
    part = split(dataset.select(chosen), [hashes[i] for i in chosen], protocol, FRACTIONS, 0)
    assert (sides(part, 5000) == whole[chosen]).all()


@pytest.mark.parametrize("protocol", ["pooled", "official"])
@pytest.mark.parametrize("own", [["train", "test"], ["train", "validation", "test"], [None, "test"]])
def test_no_bytes_are_on_two_sides(tmp_path, protocol, own):
    rng = np.random.default_rng(0)
    contents = rng.integers(0, 1500, 4000)  # most of them several times, under both labels and in all folders
    dataset = make(tmp_path, rng.integers(0, 2, 4000), [own[i] for i in rng.integers(0, len(own), 4000)])
    parts = split(dataset, [content_hash(i) for i in contents], protocol, FRACTIONS, 0)
    train, validation, test = (set(contents[i].tolist()) for i in (parts.train, parts.validation, parts.test))
    assert len(train | validation | test) == len(train) + len(validation) + len(test)
    assert parts.dropped == (sides(parts, 4000) == -1).sum()
    assert (parts.dropped == 0) == (protocol == "pooled")
    if protocol == "official":
        assert [i for i, name in enumerate(dataset.splits) if name == "test"] == parts.test.tolist()


def test_official_drops_the_copies_from_train_and_counts_them(tmp_path):
    hashes = [content_hash(i) for i in (*range(100), 0, 1, 1, 50)]
    own = ["train"] * 90 + ["test"] * 10 + ["test", "test", "train", "train"]
    dataset = make(tmp_path, [i % 2 for i in range(104)], own)
    parts = split(dataset, hashes, "official", (0.5, 0.5, 0), 0)
    # 0 and 1 in train and the second 1 there stand in test; both copies of 50 are in train, so they may stay.
    assert parts.dropped == 3
    side = sides(parts, 104)
    assert side[[0, 1, 102]].tolist() == [-1, -1, -1]
    assert side[50] == side[103] >= 0


def test_what_a_limit_left_out_of_the_test_split_is_not_trained_on_either(tmp_path):
    hashes = [content_hash(i) for i in range(100)]
    dataset = make(tmp_path, [i % 2 for i in range(100)], ["train"] * 90 + ["test"] * 10)
    parts = split(dataset, hashes, "official", (0.5, 0.5, 0), 0, held_out={content_hash(7), content_hash(500)})
    assert parts.dropped == 1
    assert np.flatnonzero(sides(parts, 100) == -1).tolist() == [7]


def test_an_official_validation_split_is_kept_and_cleaned(tmp_path):
    own = ["train"] * 40 + ["validation"] * 20 + ["test"] * 20
    contents = [*range(40), 0, *range(41, 60), 1, 41, *range(62, 80)]
    dataset = make(tmp_path, [i % 2 for i in range(80)], own)
    parts = split(dataset, [content_hash(i) for i in contents], "official", FRACTIONS, 0)
    assert parts.train.tolist() == list(range(2, 40))  # 0 is in validation, 1 in test
    assert parts.validation.tolist() == [40, *range(42, 60)]  # 41 is in test
    assert parts.test.tolist() == list(range(60, 80))
    assert parts.dropped == 3


def test_what_cannot_be_read_is_in_no_split(tmp_path):
    hashes = [content_hash(i) if i % 3 else "" for i in range(300)]
    dataset = make(tmp_path, [i % 2 for i in range(300)], ["train", "train", "train", "train", "test"] * 60)
    for protocol in ("pooled", "official"):
        parts = split(dataset, hashes, protocol, FRACTIONS, 0)
        assert sorted(np.flatnonzero(sides(parts, 300) == -1)) == list(range(0, 300, 3))
        assert parts.dropped == 0


@pytest.mark.parametrize(
    ("labels", "own", "protocol", "message"),
    [
        ([0, 1] * 50, None, "official", "made has no test folder; use protocol = 'pooled'"),
        ([0, 1], None, "pooled", "split of made (pooled) has no images"),
        ([0] * 100, None, "pooled", "The train split of made (pooled) has no AI images"),
        ([1] * 100, None, "pooled", "The train split of made (pooled) has no real images"),
        ([0, 1] * 50 + [1], [*["train"] * 100, "test"], "official", "The test split of made (official) has no real"),
        ([0, 1] * 50, ["test"] * 100, "official", "The train split of made (official) has no images"),
    ],
)
def test_a_split_that_cannot_serve_is_an_error(tmp_path, labels, own, protocol, message):
    with pytest.raises(DatasetError) as caught:
        split(make(tmp_path, labels, own), [content_hash(i) for i in range(len(labels))], protocol, FRACTIONS, 0)
    assert message in str(caught.value)


def test_where_nothing_can_be_read_that_is_said(tmp_path):
    with pytest.raises(DatasetError, match="None of the 4 files of made can be read"):
        split(make(tmp_path, [0, 1, 0, 1]), [""] * 4, "pooled", FRACTIONS, 0)


@pytest.mark.parametrize("protocol", ["pooled", "official"])
def test_a_cluster_stays_on_one_side(tmp_path, protocol):
    rng = np.random.default_rng(0)
    clusters = rng.integers(0, 300, 2000)
    dataset = make(tmp_path, rng.integers(0, 2, 2000), ["test" if i % 10 == 0 else "train" for i in range(2000)])
    hashes = [content_hash(i) for i in range(2000)]
    parts = split(dataset, hashes, protocol, FRACTIONS, 0, clusters=clusters)
    train, validation, test = (set(clusters[i].tolist()) for i in (parts.train, parts.validation, parts.test))
    assert len(train | validation | test) == len(train) + len(validation) + len(test)
    assert parts.dropped == (sides(parts, 2000) == -1).sum()
    assert (parts.dropped > 0) == (protocol == "official")
    alone = split(dataset, hashes, protocol, FRACTIONS, 0, clusters=np.arange(2000))
    assert (sides(alone, 2000) == sides(split(dataset, hashes, protocol, FRACTIONS, 0), 2000)).all()


@pytest.mark.parametrize(("protocol", "counts"), [("pooled", [7, 4, 1]), ("official", [7, 4, 1])])
@pytest.mark.parametrize("seed", range(5))
def test_a_class_of_few_images_is_counted_out(tmp_path, protocol, counts, seed):
    labels = [0] * 240 + [1] * 12
    dataset = make(tmp_path, labels, [*["train"] * 216, *["test"] * 24, *["train"] * 11, "test"])
    parts = split(dataset, [content_hash(i) for i in range(252)], protocol, FRACTIONS, seed, least=(1, 4, 1))
    side = sides(parts, 252)
    found = np.bincount(side[240:], minlength=3).tolist()
    assert found == counts or min(np.array(found) - (1, 4, 1)) >= 0  # By chance, where that is enough.
    assert (np.bincount(side[:240], minlength=3) >= 4).all()


def test_a_class_of_one_large_cluster_is_left_to_train(tmp_path):
    clusters = np.array([*range(40), *[40] * 30, 41, 42, 43])
    dataset = make(tmp_path, [0] * 40 + [1] * 33)
    parts = split(dataset, [content_hash(i) for i in range(73)], "pooled", (0.98, 0.01, 0.01), 0, clusters=clusters)
    assert (sides(parts, 73)[40:70] == 0).all()
    with pytest.raises(DatasetError, match="has no AI images"):
        split(
            make(tmp_path, [0] * 40 + [1] * 30), [content_hash(i) for i in range(70)], "pooled", FRACTIONS, 0,
            clusters=clusters[:70],
        )  # fmt: skip
