from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pyrite.bundle import Bundle
from pyrite.bundle.preprocess import Pixels
from pyrite.explanation import Explanation, Spectra, explain
from pyrite.explanation.drawing import AI, PALE, REAL, drawable, write
from pyrite.explanation.picture import draw
from pyrite.explanation.spectra import ClassSpectrum

GAP, COLUMN = 15, 448


@pytest.fixture
def found(to_corner: Bundle, checks: Pixels) -> Explanation:
    """Of a chessboard of which the top left corner spoke for AI."""
    return explain(checks, to_corner)


def right_panel(picture: Image.Image) -> Pixels:
    """Return what lies over the image of 32 × 32: below the head and a line of text, of which the heights are known."""
    drawn = np.asarray(picture)[:, 2 * GAP + COLUMN : 2 * GAP + 2 * COLUMN]
    left = np.asarray(picture)[:, GAP : GAP + COLUMN]
    # The chessboard has two greys, neither of which is a colour of the page.
    rows = np.flatnonzero((left[:, 0] == 200).all(axis=1) | (left[:, 0] == 50).all(axis=1))
    assert len(rows) == rows[-1] - rows[0] + 1 == COLUMN
    return drawn[rows]


def test_the_map_colours_what_spoke_for_ai_and_leaves_the_rest_grey(found: Explanation) -> None:
    panel = right_panel(draw(found)).astype(int)
    red_over_blue = panel[..., 0] - panel[..., 2]
    assert red_over_blue[:56, :56].min() > 100
    assert np.abs(red_over_blue[COLUMN // 2 :]).max() == np.abs(red_over_blue[:, COLUMN // 2 :]).max() == 0
    assert AI[0] - AI[2] > 100 > REAL[0] - REAL[2]


def test_the_map_of_several_crops_lies_on_each_and_nowhere_between(found: Explanation) -> None:
    spans, moved = ((0, 8), (16, 24)), np.array([[1.0, -1.0], [0.0, 1.0]])
    panel = right_panel(draw(replace(found, rows=spans, columns=spans, moved=moved))).astype(int)
    red_over_blue = (panel[..., 0] - panel[..., 2]).reshape(32, 14, 32, 14).swapaxes(1, 2).reshape(32, 32, -1)
    expected = np.zeros((32, 32))
    expected[:8, :8] = expected[16:24, 16:24] = 1
    expected[:8, 16:24] = -1
    assert (np.sign(red_over_blue) == expected[..., None]).all()


def test_what_spoke_for_real_has_the_other_colour(found: Explanation) -> None:
    panel = right_panel(draw(replace(found, moved=-found.moved))).astype(int)
    assert (panel[:56, :56, 2] - panel[:56, :56, 0]).min() > 100


def test_a_map_that_is_no_better_than_random_is_not_drawn(found: Explanation) -> None:
    chance = replace(found.faithfulness, random_insertion=(100.0,) * 19)
    panel = right_panel(draw(replace(found, faithfulness=chance)))
    assert (panel[-100:] == PALE).all()
    assert (panel.max(axis=2).astype(int) - panel.min(axis=2) < 20).all()


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (3, 2048), (2048, 3), (32, 32), (439, 100), (440, 440), (300, 700)]
)
def test_every_size_gets_a_picture_of_two_columns(height: int, width: int, found: Explanation) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    scale = -(-440 // max(height, width))
    column = max(440, width * scale)
    picture = draw(replace(found, pixels=pixels))
    gap = round(column / 29)
    assert picture.width == 2 * column + 3 * gap
    assert picture.height > height * scale + column / 2
    # The image itself stands in it, pixel by pixel.
    left = np.asarray(picture)[:, gap : gap + width * scale]
    enlarged = pixels.repeat(scale, 0).repeat(scale, 1)
    starts = np.flatnonzero((left == enlarged[0]).all(axis=(1, 2)))
    assert any(np.array_equal(left[start : start + height * scale], enlarged) for start in starts)


def test_the_averages_are_drawn_in_the_colours_of_their_classes(found: Explanation) -> None:
    level = tuple(np.linspace(-2, -9, 16).tolist())
    real = ClassSpectrum(images=10, mean=level, deviation=(0.5,) * 16)
    ai = ClassSpectrum(images=10, mean=tuple(value + 3 for value in level), deviation=(0.5,) * 16)

    def colours(picture: Image.Image) -> set[tuple[int, ...]]:
        lower = np.asarray(picture)[-250:, -COLUMN:]
        return set(map(tuple, lower.reshape(-1, 3).tolist()))

    with_them, without = draw(replace(found, spectra=Spectra(real=real, ai=ai))), draw(found)
    assert {AI, REAL} <= colours(with_them)
    assert not {AI, REAL} & colours(without)


@pytest.mark.parametrize("level", [-20.7, 0.0, 12.0])
def test_any_spectrum_can_be_drawn(level: float, found: Explanation) -> None:
    assert draw(replace(found, spectrum=np.full(16, level))).width == 2 * COLUMN + 3 * GAP


def test_signs_that_the_font_has_not_are_replaced() -> None:
    assert drawable("32 × 32 – “a” ± 1\n\x1b中\udcff") == "32 x 32 - “a” ± 1????"


@pytest.mark.parametrize(("text", "lines"), [("", 1), ("a word", 1), ("word " * 40, 8), ("w" * 500, 32)])
def test_a_text_is_broken_to_its_width(text: str, lines: int) -> None:
    written = write(text, 200, 15)
    assert written.size == (200, round(1.35 * 15 * lines))
    rows = (np.asarray(written).min(axis=2) < 128).any(axis=1)
    if text:
        assert rows[-20:].any()
