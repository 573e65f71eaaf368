"""An image's own history: `pyrite explain --history`."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from spliced import exif_with, photo, resave, save, splice

from pyrite.bundle import Bundle
from pyrite.bundle.preprocess import Pixels
from pyrite.errors import ImageError
from pyrite.explanation import examine
from pyrite.explanation.history import ABOUT, History, Trace, trace_history
from pyrite.explanation.maps import draw_history, draw_map
from pyrite.image import open_image

FLAT = Image.new("RGB", (200, 200), "teal")
Run = Callable[..., tuple[int, str, str]]


def trace(data: bytes) -> History:
    return trace_history(open_image(data))


def named(history: History, kind: str) -> Trace:
    return next(trace for trace in history.traces if trace.about.kind == kind)


@pytest.fixture
def run(run_pyrite: Run) -> Run:
    """Run `pyrite explain`."""
    return partial(run_pyrite, "explain")


def test_a_splice_that_was_saved_at_another_quality_lights_up_in_the_ghost_map() -> None:
    history = trace(save(splice(resave(photo(0), 70), photo(1)), 92))
    ghosts = named(history, "ghosts")
    assert ghosts.levels is not None
    assert ghosts.figures["quality"] == pytest.approx(70, abs=2)
    drawn = draw_map(ghosts, history.size, history.size)
    assert drawn is not None
    brightness = np.asarray(drawn.convert("L")).astype(float)
    assert np.median(brightness[144:240, 144:240]) < 80 < 120 < np.median(brightness[:96])
    assert [item.kind for item in history.evidence] == ["compression"]
    assert history.evidence[0].data["saved_before"] is True
    assert history.evidence[0].data["false_alarms"]["files"] == 0
    assert "0 of 1,043 files saved once show such" in history.evidence[0].detail


@pytest.mark.parametrize("orientation", range(1, 9))
def test_maps_are_made_on_the_blocks_of_the_file_and_shown_upright(orientation: int) -> None:
    # Of a size that is no multiple of a cell, so that turning moves the grid.
    image = splice(resave(photo(0, (389, 403)), 70), photo(1))
    plain = named(trace(save(image, 92)), "ghosts")
    exif = Image.Exif()
    exif[0x0112] = orientation
    history = trace(save(image, 92, exif=exif))
    turned = named(history, "ghosts")
    assert plain.levels is not None
    assert turned.levels is not None
    assert turned.figures == plain.figures
    assert plain.region == (0, 0, 384, 400)
    upright = open_image(save(image, 92, exif=exif))
    marks = Image.new("RGB", image.size)
    marks.paste((255, 255, 255), (0, 0, 384, 400))
    shown = open_image(save(marks, 95, exif=exif)).pixels[..., 0] > 127
    left, top, right, bottom = turned.region or (0, 0, 0, 0)
    assert shown[top:bottom, left:right].mean() > 0.99
    assert (right - left) * (bottom - top) == 384 * 400
    assert turned.levels.shape == ((bottom - top) // 16, (right - left) // 16)
    assert history.size == (upright.width, upright.height)
    np.testing.assert_allclose(np.sort(turned.levels, axis=None), np.sort(plain.levels, axis=None))


@pytest.mark.parametrize(
    ("image", "form", "nothing"),
    [
        (FLAT, "JPEG", {"error_levels": "is flat", "noise": "no noise", "ghosts": "no part"}),
        (photo(0, (63, 300)), "JPEG", dict.fromkeys(ABOUT, "only 63 × 300 pixels")),
        (photo(0), "PNG", {"error_levels": "the file is PNG, not JPEG", "ghosts": "is not JPEG"}),
        (Image.new("RGB", (1, 1)), "PNG", dict.fromkeys(ABOUT, "only 1 × 1 pixels")),
    ],
)  # fmt: skip
def test_where_there_is_no_map_it_says_why(
    image: Image.Image, form: str, nothing: dict[str, str], tmp_path: Path
) -> None:
    image.save(tmp_path / "image", form)
    history = trace((tmp_path / "image").read_bytes())
    for found in history.traces:
        assert (found.levels is None) is (found.about.kind in nothing)
        if found.levels is None:
            assert found.found.startswith("No map: ")
            assert nothing[found.about.kind] in found.found
            assert found.figures == {}
    assert draw_history(history).width > 800


def test_pixels_that_never_were_a_file_have_a_history_too() -> None:
    found = trace_history(open_image(np.asarray(photo(0))))
    assert "there is no JPEG file" in named(found, "error_levels").found
    assert named(found, "noise").levels is not None
    assert found.evidence == ()


# The thumbnail


def test_a_thumbnail_of_other_pixels_is_shown_beside_the_image() -> None:
    before = photo(0, (640, 480))
    after = photo(3, (640, 480))
    history = trace(save(after, 90, exif=exif_with(before.resize((160, 120)))))
    assert history.match is not None
    assert not history.match.alike
    assert "shows something other than the image" in history.thumbnail_says
    assert any("thumbnail_correlation" in item.data for item in history.evidence)
    assert history.thumbnail is not None
    assert history.thumbnail.shape == (120, 160, 3)
    # Beside the image, at its size: it is found again in the right column.
    drawn = draw_history(history)
    right = drawn.crop((drawn.width - 22 - 640, 0, drawn.width - 22, drawn.height)).convert("L")
    shown = np.asarray(Image.fromarray(history.thumbnail).resize((640, 480), Image.Resampling.BICUBIC).convert("L"))
    column = np.asarray(right).astype(int)
    assert min(np.abs(column[top : top + 480] - shown).mean() for top in range(60, 200)) < 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_or_barred_thumbnail_is_no_mismatch(orientation: int) -> None:
    image = photo(0, (640, 360))
    barred = Image.new("RGB", (160, 120))
    barred.paste(image.resize((160, 90)), (0, 15))
    history = trace(save(image, 90, exif=exif_with(barred, orientation)))
    assert history.match is not None
    assert history.match.alike
    assert "Bars and rotation are normal, and not a mismatch." in history.thumbnail_says
    assert "without its bars" in history.thumbnail_says
    told = history.thumbnail_says.partition(" matches")[0]
    assert ("rotated" in told or "mirrored" in told) is (orientation != 1)
    assert ("mirrored" in told) is (orientation in (2, 4, 5, 7))
    assert [item for item in history.evidence if item.kind == "history"] == []
    # It lies as the image does: upright.
    assert history.thumbnail is not None
    assert (history.thumbnail.shape[0] > history.thumbnail.shape[1]) is (orientation > 4)
    small = Image.fromarray(np.ascontiguousarray(history.thumbnail)).resize((64, 64)).convert("L")
    large = Image.fromarray(history.pixels).resize((64, 64)).convert("L")
    assert np.corrcoef(np.asarray(small).ravel(), np.asarray(large).ravel())[0, 1] > 0.95


def test_a_damaged_thumbnail_is_none() -> None:
    image = photo(0, (640, 480))
    exif = exif_with(photo(1, (160, 120)))
    history = trace(save(image, 90, exif=exif[:-2000] + b"\0" * 2000))
    assert draw_history(history).width > 800


# The command


def test_history_of_an_image_that_no_bundle_was_made_for(run: Run, tmp_path: Path) -> None:
    data = save(splice(resave(photo(0), 70), photo(1)), 92)
    (tmp_path / "photo.jpg").write_bytes(data)
    code, out, err = run(tmp_path / "photo.jpg", "--out", tmp_path / "out.png")
    assert (code, out) == (1, "")
    assert "The image's own history can still be shown" in err
    code, out, err = run(tmp_path / "photo.jpg", "--history", "--out", tmp_path / "out.png")
    assert (code, err) == (0, "")
    assert "No loaded bundle was made for this image" in out
    assert "saved as JPEG before, more coarsely" in out
    assert "JPEG ghosts: " in out
    with Image.open(tmp_path / "out.png") as written:
        assert written.width > 800
    code, out, _ = run(tmp_path / "photo.jpg", "--history", "--out", tmp_path / "out.png", "--json")
    read = json.loads(out)
    assert code == 0
    assert (read["model"], read["moved"], read["scored"]) == (None, None, None)
    assert read["detection"]["reason"] == "out_of_scope"
    maps = read["history"]["maps"]
    assert [found["kind"] for found in maps] == ["error_levels", "noise", "ghosts"]
    assert all(found["shows"] and found["limits"] for found in maps)
    assert maps[2]["figures"]["quality"] == pytest.approx(70, abs=2)
    assert len(out) < 12_000


def test_with_a_score_both_are_in_one_picture(to_corner: Bundle, checks: Pixels, tmp_path: Path) -> None:
    found = examine(checks, to_corner, out=tmp_path / "out.png")
    read = json.loads(found.to_json())
    assert (read["leans"], read["scored"]) == ("ai", 651)
    assert read["history"]["maps"][0]["found"].startswith("No map: ")
    assert found.explanation is not None
    assert found.describe()[:4] == found.explanation.describe()
    with Image.open(tmp_path / "out.png") as written:
        assert written.height > 2 * draw_history(found.history).height / 1.5


def test_an_image_that_cannot_be_read_has_no_history(tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        examine(b"no image", out=tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
