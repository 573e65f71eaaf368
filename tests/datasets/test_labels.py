import pytest

from pyrite.datasets.labelling import Labelling
from pyrite.datasets.labels import CIFAR_OBJECTS, FolderLabel, cifar_objects, place_files
from pyrite.datasets.vocabulary import label_of
from pyrite.errors import DatasetError

TEN = ["0000.jpg", *(f"0000 ({i}).jpg" for i in range(2, 11))]


@pytest.mark.parametrize(
    ("real", "ai"),
    [
        ("REAL", "FAKE"),
        ("real", "ai"),
        ("nature", "ai"),
        ("0_real", "1_fake"),
        ("human", "AI"),
        ("humans", "synthetic"),
        ("Real Images", "Fake Images"),
        ("real_image", "AI-generated"),
        ("photographs", "ai_generated_images"),
        ("original", "deepfakes"),
    ],
)
def test_the_names_in_use_are_known_and_ai_is_the_positive_class(real, ai):
    assert (label_of(real), label_of(ai)) == (0, 1)
    places = place_files([f"{ai}/a.png", f"{real}/b.png"]).files
    assert {name: place.label for name, place in places.items()} == {f"{ai}/a.png": 1, f"{real}/b.png": 0}


@pytest.mark.parametrize("name", ["", "s", "images", "train", "unreal", "not_real", "midjourney", "0", "1", "é"])
def test_other_names_are_not_guessed(name):
    assert label_of(name) is None


def test_splits_and_groups_come_from_the_other_folders():
    places = place_files(
        ["sd14/train/nature/a.png", "sd14/val/ai/b.png", "sdxl/Testing/x/ai/c.png", "real/d.png", "README.md"]
    ).files
    assert places == {
        "sd14/train/nature/a.png": FolderLabel(0, "train", "sd14"),
        "sd14/val/ai/b.png": FolderLabel(1, "validation", "sd14", "sd14"),
        "sdxl/Testing/x/ai/c.png": FolderLabel(1, "test", "sdxl/x", "sdxl"),
        "real/d.png": FolderLabel(0, None, ""),
    }


def test_the_innermost_folder_names_the_split():
    assert place_files(["test/train/real/a.png", "test/ai/b.png"]).files == {
        "test/train/real/a.png": FolderLabel(0, "train", ""),
        "test/ai/b.png": FolderLabel(1, "test", ""),
    }


def test_pictures_outside_any_class_are_an_error_unless_the_classes_were_named():
    names = ["real/a.png", "ai/b.png", "painter/c.JPG", "painter/d.webp", "ai/notes/e.png", "README.md"]
    with pytest.raises(DatasetError, match=r"^2 pictures lie in no class folder: painter \(2 files\)\. .*--real NAME"):
        place_files(names)
    assert len(place_files(names, Labelling(("real",), ("ai",))).files) == 3
    assert len(place_files([*names[:2], "README.md", "checksums.txt"]).files) == 2


def test_a_file_under_both_classes_is_an_error_that_names_the_choices():
    with pytest.raises(DatasetError) as caught:
        place_files(["real/a.png", "fake/diffusion/REAL/b.png"])
    message = str(caught.value)
    for part in ("fake/diffusion/REAL/b.png", "both classes (fake, REAL)", "--real NAME", "--ai NAME"):
        assert part in message


@pytest.mark.parametrize(
    ("names", "lack"),
    [
        ([], "Found no class folders. Folders here: none."),
        (["a.png"], "Found no class folders. Folders here: . (1 files)."),
        (["cats/a.png", "dogs/b.png", "dogs/c.png"], "Found no class folders. Folders here: dogs (2 files), cats"),
        (["real/a.png"], "Found no AI images. Folders here: real (1 files)."),
        (["x/ai/a.png"], "Found no real images. Folders here: ai (1 files)."),
    ],
)
def test_missing_classes_are_an_error_that_shows_the_folders(names, lack):
    with pytest.raises(DatasetError) as caught:
        place_files(names)
    assert lack in str(caught.value)
    assert "--real NAME and --ai NAME" in str(caught.value)


def test_the_listing_in_an_error_is_short():
    with pytest.raises(DatasetError) as caught:
        place_files([f"folder{i}/a.png" for i in range(1000)])
    assert len(str(caught.value)) < 600


def test_named_classes_replace_the_known_ones():
    labelling = Labelling(("cats",), ("real",))
    places = place_files(["fake/cats/a.png", "fake/real/b.png", "cat/c.png"], labelling).files
    assert {name: (place.label, place.group) for name, place in places.items()} == {
        "fake/cats/a.png": (0, "fake"),
        "fake/real/b.png": (1, "fake"),
    }
    with pytest.raises(DatasetError, match=r"^--real a matches no folder\. Found: b\.$"):
        place_files(["b/a.png"], Labelling(("a",), ("b",)))


def test_cifake_names_hold_the_object():
    names = [f"train/REAL/{i:04d}{f' ({k})' if k > 1 else ''}.jpg" for i in range(2) for k in range(1, 11)]
    assert cifar_objects(names) == CIFAR_OBJECTS * 2


@pytest.mark.parametrize(
    "names",
    [
        ["0000.jpg", "0001.jpg"],
        ["0000.jpg", "0000 (2).jpg"],
        [*TEN, "cat.jpg"],
        [*TEN, "0000 (11).jpg"],
        [*TEN, "0000 (0).jpg"],
        [*TEN, f"0000 ({'9' * 5000}).jpg"],
        ["0000(2).jpg"],
        ["a (2).jpg"],
        [],
    ],
)
def test_other_names_hold_no_object(names):
    assert cifar_objects(names) is None
