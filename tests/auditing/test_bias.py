import numpy as np
import pytest

from pyrite.auditing.bias import Bias, find_biases
from pyrite.datasets.shortcuts import TRAITS


def table(real: list[dict[str, str]], ai: list[dict[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    rows = [[row.get(name.replace(" ", "_"), "") for name in TRAITS] for row in (*real, *ai)]
    return np.array(rows, object).reshape(-1, len(TRAITS)), np.array([0] * len(real) + [1] * len(ai), np.int8)


def said(real: list[dict[str, str]], ai: list[dict[str, str]]) -> list[str]:
    return [str(bias) for bias in find_biases(*table(real, ai))]


def test_a_fact_of_one_class_alone_is_said_of_the_ai_images() -> None:
    found = said([{"format": "JPEG"}] * 2000, [{"format": "PNG"}] * 1500)
    assert found == ["Every AI image (1,500) is stored as PNG, and no real one (2,000) is."]


def test_a_fact_of_most_is_said_by_its_shares_and_never_rounded_to_all() -> None:
    png, jpeg = {"format": "PNG"}, {"format": "JPEG"}
    assert said([jpeg] * 97 + [png] * 3, [jpeg] * 3 + [png] * 97) == [
        "97% of the AI images (97 of 100) are stored as PNG, 3% of the real ones (3 of 100)."
    ]
    assert said([jpeg] * 9999 + [png], [jpeg] * 9999 + [png] * 90_001)[0].startswith(
        "90% of the AI images (90,001 of 100,000) are stored as PNG, 0.1% of the real ones (1 of 10,000)"
    )
    exif = {"format": "JPEG", "EXIF": "EXIF"}
    assert said([exif] * 9999 + [jpeg], [jpeg] * 50) == [
        "99.9% of the real images (9,999 of 10,000) have EXIF, none of the AI ones (0 of 50)."
    ]


def test_the_strongest_come_first_and_one_fact_stands_for_all_of_size() -> None:
    square = {"size": "1024 × 1024", "shape": "square", "grid": "64", "colour_mode": "RGBA"}
    real = [{"size": f"{i} × 333", "colour_mode": "RGBA" if i < 10 else "RGB"} for i in range(50)]
    assert said(real, [square] * 50) == [
        "Every AI image (50) is 1024 × 1024 pixels, and no real one (50) is.",
        "All of the AI images (50 of 50) have the colour mode RGBA, 20% of the real ones (10 of 50).",
    ]
    mixed = [square, {**square, "size": "512 × 512"}, {**square, "size": "768 × 768"}]
    assert said(real, mixed * 10)[0] == "Every AI image (30) is square, and no real one (50) is."


def test_tables_are_counted_among_jpegs() -> None:
    real = [{"format": "JPEG", "JPEG_tables": "quality 92"}] * 30 + [{"format": "PNG"}] * 20
    ai = [{"format": "JPEG", "JPEG_tables": "quality 75"}] * 40 + [{"format": "PNG"}] * 10
    assert said(real, ai) == [
        "Of the JPEG files, every AI image (40) has the JPEG quality 75, and no real one (30) has."
    ]


@pytest.mark.parametrize(("real", "ai", "found"), [(0.4, 0.89, 0), (0.4, 0.91, 1), (0, 0.49, 0), (0, 0.51, 1)])
def test_only_what_is_right_for_three_of_four_is_said(real: float, ai: float, found: int) -> None:
    png, jpeg = {"format": "PNG"}, {"format": "JPEG"}
    classes = [[png] * round(1000 * share) + [jpeg] * round(1000 * (1 - share)) for share in (real, ai)]
    assert len(find_biases(*table(*classes))) == found


def test_chance_among_few_images_is_not_said() -> None:
    png, jpeg = {"format": "PNG"}, {"format": "JPEG"}
    assert said([png] * 7, [jpeg] * 7) == []
    assert len(said([png] * 8, [jpeg] * 8)) == 1
    assert said([jpeg] * 7 + [png] * 3, [jpeg] * 2 + [png] * 8) == []
    random = np.random.default_rng(0)
    for _ in range(200):
        classes = [[(jpeg, png)[value] for value in random.integers(0, 2, 12)] for _ in range(2)]
        assert said(*classes) == []


@pytest.mark.parametrize(("real", "ai"), [(0, 0), (30, 0), (0, 30)])
def test_one_class_has_nothing_to_be_split_from(real: int, ai: int) -> None:
    assert find_biases(*table([{"format": "PNG"}] * real, [{"format": "PNG"}] * ai)) == ()


def test_strength_is_the_difference_of_the_shares() -> None:
    bias = Bias(fact="format", value="PNG", among="", real=1, of_real=4, ai=3, of_ai=4)
    assert bias.strength == pytest.approx(0.5)
