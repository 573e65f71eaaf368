import pytest

from pyrite.datasets.vocabulary import (
    AI,
    AI_COLLECTIONS,
    AI_NAMES,
    CERTAIN_NAMES,
    GENERATORS,
    REAL,
    REAL_NAMES,
    REAL_SOURCES,
    label_of,
    source_of,
    split_of,
)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Stable Diffusion 1.4", AI),
        ("stable-diffusion-xl-1.0-inpainting-0.1", AI),
        ("SDXL_turbo", AI),
        ("sd21-controlnet-canny", AI),
        ("DALL·E-3", AI),
        ("Midjourney-v6", AI),
        ("FLUX.1-dev", AI),
        ("imagen3", AI),
        ("synthbuster", AI),
        ("MS-COCO", REAL),
        ("coco2017", REAL),
        ("RAISE-1k", REAL),
        ("celebA-HQ", REAL),
        ("lsun_bedroom", REAL),
        ("imagenet", REAL),
        ("ImageNet-1k", REAL),
        # What only begins like one.
        ("imagenette", None),
        ("imagenet_ai_0419_sdv4", None),
        ("raised", None),
        ("glider", None),
        ("playground", None),
        ("sdcard", None),
        ("influx", None),
        ("", None),
    ],
)
def test_sources_are_known_by_name(name: str, label: int | None) -> None:
    assert source_of(name) == label
    assert label_of(name) is None


def test_no_name_means_two_things() -> None:
    assert not REAL_NAMES & AI_NAMES
    assert CERTAIN_NAMES <= REAL_NAMES | AI_NAMES
    for label, patterns in ((REAL, REAL_SOURCES), (AI, [*GENERATORS, *AI_COLLECTIONS])):
        for pattern in patterns:
            example = pattern.replace("[0-9]", "1").replace("*", "x")
            assert source_of(example) == label, pattern
            assert label_of(example) is None, pattern


@pytest.mark.parametrize(
    ("name", "split"),
    [("train2017", "train"), ("VAL2014", "validation"), (" test ", "test"), ("train3017", None), ("trains", None)],
)
def test_splits_are_known_by_name(name: str, split: str | None) -> None:
    assert split_of(name) == split
