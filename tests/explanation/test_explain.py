import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import pyrite
from pyrite.bundle import Bundle, BundleInfo, Crops, Preprocess, Resize, save_bundle
from pyrite.bundle.preprocess import Pixels
from pyrite.decision import Scope
from pyrite.detector import Detector
from pyrite.errors import ImageError, PyriteError
from pyrite.explanation import explain
from pyrite.golden import make_golden
from pyrite.results import Verdict

SHARED = Path(__file__).parents[3] / "shared" / "data"
Run = Callable[..., tuple[int, str, str]]


def of_any_size(bundle: Bundle, **changes: object) -> Bundle:
    """Return a bundle that has images of any size in scope."""
    scope = Scope(min_side=1, max_side=None, description="images")
    return replace(bundle, info=msgspec.structs.replace(bundle.info, scope=scope, **changes))


@pytest.fixture
def run(run_pyrite: Run) -> Run:
    """Run `pyrite explain`."""
    return partial(run_pyrite, "explain")


@pytest.fixture
def saved(to_corner: Bundle, tmp_path: Path) -> Path:
    """Where a bundle lies whose model looks at the top left corner."""
    images = list(np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8))
    golden = make_golden(to_corner.info, to_corner.read("model.onnx"), images)
    save_bundle(tmp_path / "bundle", to_corner.info, {**to_corner.files, "golden.json": golden})
    return tmp_path / "bundle"


@pytest.fixture
def picture(checks: Pixels, tmp_path: Path) -> Path:
    """Where the chessboard lies."""
    Image.fromarray(checks).save(tmp_path / "checks.png")
    return tmp_path / "checks.png"


def test_a_model_that_looks_at_a_corner_gives_a_map_that_peaks_there(to_corner: Bundle, checks: Pixels) -> None:
    found = explain(checks, to_corner)
    assert found.leans is Verdict.AI
    assert found.detection.logit == pytest.approx(3, abs=0.01)
    assert found.moved.shape == (8, 8)
    assert np.unravel_index(found.moved.argmax(), (8, 8)) == (0, 0)
    # The one patch over the corner's outermost cell holds all that the model looks at, and blurring leaves nothing.
    assert found.moved[0, 0] == pytest.approx(3, abs=0.1)
    assert np.abs(found.moved[3:]).max() == np.abs(found.moved[:, 3:]).max() == 0
    faithfulness = found.faithfulness
    assert faithfulness.better_than_random
    assert faithfulness.deletion < min(faithfulness.random_deletion)
    assert faithfulness.insertion > max(faithfulness.random_insertion)
    # The four cells go first, one step of sixteen: from 3.5 at once to the 0.5 that calibration adds.
    assert faithfulness.deletion == pytest.approx(0.5 + 3 / 32, abs=0.1)
    assert faithfulness.insertion == pytest.approx(3.5 - 3 / 32, abs=0.1)
    assert found.scored == 651


def test_what_speaks_for_real_is_below_0(
    weigh: Callable[..., Bundle], corner: NDArray[np.float32], checks: Pixels
) -> None:
    found = explain(checks, weigh(-corner, -1.0))
    assert found.leans is Verdict.REAL
    assert found.moved[0, 0] == pytest.approx(-3, abs=0.1)
    assert found.faithfulness.better_than_random
    assert found.faithfulness.deletion == pytest.approx(0.5 + 3 / 32, abs=0.1)


def test_a_model_that_ignores_the_image_is_no_better_than_random(to_nothing: Bundle, checks: Pixels) -> None:
    found = explain(checks, to_nothing)
    assert not found.faithfulness.better_than_random
    assert "no better than random (19 of 19 random orders do as well), so it is not shown" in found.describe()[2]
    assert json.loads(found.to_json())["moved"] is None


def test_an_image_without_detail_is_no_better_than_random(to_corner: Bundle) -> None:
    found = explain(np.full((32, 32, 3), 90, np.uint8), to_corner)
    assert not found.faithfulness.better_than_random
    assert not found.moved.any()


def test_what_is_explained_is_what_the_detector_says(to_corner: Bundle, picture: Path) -> None:
    found = explain(picture, Detector(to_corner))
    assert found.detection == Detector(to_corner).detect(picture)
    assert found.detection.path == str(picture)


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "stream", "pillow", "array"])
def test_any_source_will_do(kind: str, to_corner: Bundle, picture: Path, checks: Pixels) -> None:
    source = {
        "path": picture,
        "text": str(picture),
        "bytes": picture.read_bytes(),
        "stream": io.BytesIO(picture.read_bytes()),
        "pillow": Image.fromarray(checks),
        "array": checks,
    }[kind]
    found = explain(source, to_corner)
    assert found.faithfulness == explain(checks, to_corner).faithfulness
    np.testing.assert_array_equal(found.pixels, checks)


def test_an_image_is_turned_upright_first(to_corner: Bundle, checks: Pixels, tmp_path: Path) -> None:
    flat = np.full_like(checks, 125)
    flat[:8, :8] = checks[:8, :8]
    turned = Image.fromarray(np.rot90(flat, 1))  # Orientation 6 turns it back, clockwise.
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    found = explain(tmp_path / "turned.png", to_corner)
    np.testing.assert_array_equal(found.pixels, flat)
    assert np.unravel_index(found.moved.argmax(), (8, 8)) == (0, 0)


def test_a_large_image_is_brought_down_for_the_picture_alone(to_corner: Bundle) -> None:
    found = explain(np.zeros((40, 3000, 3), np.uint8), of_any_size(to_corner))
    assert found.pixels.shape == (27, 2048, 3)
    assert (found.detection.width, found.detection.height) == (3000, 40)
    assert found.region == (0, 0, 3000, 40)


def test_of_several_crops_the_map_shows_all_and_what_each_does_to_the_score(
    to_corner: Bundle, checks: Pixels, tmp_path: Path
) -> None:
    pixels = np.full((64, 100, 3), 125, np.uint8)
    shares = [(0, 0, 0.1), (0, 34, 0.2), (0, 68, 0.3), (32, 0, 0.4), (32, 34, 1.0), (32, 68, 0.5)]
    for top, left, share in shares:
        pixels[top : top + 8, left : left + 8] = 125 + share * (checks[:8, :8].astype(float) - 125)
    crops = of_any_size(to_corner, preprocess=Crops(height=32, width=32, most=6))
    told: list[tuple[int, int]] = []
    found = explain(pixels, crops, out=tmp_path / "out.png", progress=lambda *step: told.append(step))
    assert found.region == (0, 0, 100, 64)
    assert found.rows == ((0, 16), (16, 32), (32, 48), (48, 64))
    assert found.columns == ((0, 16), (16, 32), (34, 50), (50, 66), (68, 84), (84, 100))
    # The score is the mean of six, each of which has what the model looks at in its first quarter.
    expected = np.zeros((4, 6))
    expected[::2, ::2] = np.reshape([3 * share / 6 for _, _, share in shares], (2, 3))
    np.testing.assert_allclose(found.moved, expected, atol=0.03)
    assert found.faithfulness.better_than_random
    assert found.scored == 6 * 16
    assert told[-1] == (6 * 16, 6 * 16)
    with Image.open(tmp_path / "out.png") as picture:
        picture.load()


@pytest.mark.parametrize(
    ("geometry", "scored", "shape"),
    [
        (Resize(height=64, width=64), 651, (8, 8)),
        (Resize(height=96, width=96), 171, (8, 8)),
        (Crops(height=96, width=96), 11 * 16, (2, 22)),
        (Crops(height=224, width=224), 5 * 4, (1, 10)),
    ],
)
def test_of_large_inputs_fewer_are_scored(
    geometry: Preprocess, scored: int, shape: tuple[int, int], info: BundleInfo, weigh_any: Callable[..., bytes]
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (min(224, geometry.height), 1000, 3), np.uint8)
    weights = np.random.default_rng(0).normal(size=(*geometry.size, 3)) / 1000
    found = explain(pixels, of_any_size(Bundle(info, {"model.onnx": weigh_any(weights, 0.0)}), preprocess=geometry))
    assert (found.scored, found.moved.shape) == (scored, shape)
    assert len(found.faithfulness.random_deletion) == 19


def test_of_several_bundles_the_first_with_the_image_in_scope_is_explained(to_corner: Bundle, checks: Pixels) -> None:
    scope = Scope(min_side=96, max_side=None, description="")
    other = replace(to_corner, info=msgspec.structs.replace(to_corner.info, name="photos", scope=scope))
    detector = Detector(bundles=[other, to_corner])
    assert explain(checks, detector).model.name == to_corner.info.name
    assert explain(np.zeros((100, 100, 3), np.uint8), detector).model.name == "photos"
    with pytest.raises(PyriteError, match=r"no score to explain.*32|no score to explain.*16 to 64"):
        explain(np.zeros((90, 90, 3), np.uint8), detector)


def test_progress_ends_at_the_number_that_it_gave_from_the_start(to_corner: Bundle, checks: Pixels) -> None:
    told: list[tuple[int, int]] = []
    explain(checks, to_corner, progress=lambda done, total: told.append((done, total)))
    assert {total for _, total in told} == {651}
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (651, 651)


def test_the_public_name_is_the_function() -> None:
    assert pyrite.explain is explain


def test_an_unreadable_image_raises(to_corner: Bundle, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ImageError):
        explain(tmp_path / "no.png", to_corner, out=tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


def test_a_picture_that_cannot_be_written_is_told_and_leaves_the_old_one(
    to_corner: Bundle, checks: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Image.Image, file: Path, **_: object) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    (tmp_path / "out.png").write_bytes(b"old")
    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(PyriteError, match=r"^The picture .*out\.png cannot be written: No space left on device\.$"):
        explain(checks, to_corner, out=tmp_path / "out.png")
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]
    assert (tmp_path / "out.png").read_bytes() == b"old"


def test_no_file_beside_the_picture_is_touched(to_corner: Bundle, picture: Path) -> None:
    image = picture.rename(picture.with_name(".out.png.partial"))
    explain(image, to_corner, out=picture.with_name("out.png"))
    assert {path.name for path in picture.parent.iterdir()} == {".out.png.partial", "out.png"}


# The command


def test_the_command_prints_the_figures_and_writes_the_picture(run: Run, saved: Path, picture: Path) -> None:
    code, out, err = run(picture, "--bundle", saved, "--out", picture.parent / "out.PNG")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("ai ")
    assert lines[0].split()[2] == str(picture)
    assert lines[1].startswith("Deletion: 0.")
    assert "log-odds of ai" in lines[1]
    assert lines[2].startswith("Insertion: 3.")
    assert lines[3] == "The map does better than each of 19 random orders, so it is shown."
    assert lines[4].startswith("Spectrum, at the model's 32 × 32: the bundle has no class averages")
    assert lines[5] == f"Picture: {picture.parent / 'out.PNG'}"
    with Image.open(picture.parent / "out.PNG") as written:
        assert written.format == "PNG"
        assert min(written.size) > 800
    assert {path.name for path in picture.parent.iterdir()} == {"bundle", "checks.png", "out.PNG"}


def test_json_has_every_figure(run: Run, saved: Path, picture: Path) -> None:
    code, out, _ = run(picture, "--bundle", saved, "--out", picture.parent / "out.png", "--json")
    found = explain(picture, saved)
    read = json.loads(out)
    assert code == 0
    assert read == json.loads(found.to_json())
    assert read["detection"] == json.loads(msgspec.json.encode(found.detection))
    assert read["better_than_random"] is True
    assert read["moved"] == found.moved.tolist()
    assert len(read["faithfulness"]["random_deletion"]) == 19
    assert (read["leans"], read["scored"], read["input_size"], read["spectra"]) == ("ai", 651, [32, 32], None)


def test_an_image_out_of_scope_has_no_score_to_explain(run: Run, saved: Path, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 200, 3), np.uint8)).save(tmp_path / "large.png")
    code, out, error = run(tmp_path / "large.png", "--bundle", saved, "--out", tmp_path / "out.png")
    assert (code, out) == (1, "")
    assert "There is no score to explain. The model was made for images of 16 to 64 pixels a side" in error
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("out.jpg", "must end with .png"),
        ("out", "must end with .png"),
        ("gone/out.png", "there is no folder"),
        ("folder.png", "that is a folder"),
        (f"{'long' * 80}.png", "File name too long"),
        ("checks.png", "is the image itself"),
        ("link.png", "is the image itself"),
    ],
)
def test_a_place_that_will_not_do_is_wrong_usage(
    out: str, message: str, run: Run, saved: Path, picture: Path, tmp_path: Path
) -> None:
    before = picture.read_bytes()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(picture)
    code, said, err = run(picture, "--bundle", saved, "--out", tmp_path / out)
    assert (code, said) == (2, "")
    assert message in " ".join(err.replace("│", " ").split())
    assert picture.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no such file."),
        (b"", "The file is empty."),
        (b"text", "This is not an image in a supported format"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "The image is damaged"),
    ],
)
def test_an_image_that_cannot_be_read_is_one_sentence(
    content: bytes | None, message: str, run: Run, saved: Path, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "bad.jpg").write_bytes(content)
    code, out, err = run(tmp_path / "bad.jpg", "--bundle", saved, "--out", tmp_path / "out.png")
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert len(err.splitlines()) == 1
    assert message in err
    assert not (tmp_path / "out.png").exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_is_no_text_is_no_trouble(run: Run, saved: Path, picture: Path, tmp_path: Path) -> None:
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b[31m.png"))
    strange.write_bytes(picture.read_bytes())
    code, out, _ = run(strange, "--bundle", saved, "--out", tmp_path / "out.png")
    assert code == 0
    assert "\x1b" not in out
    assert run(strange, "--bundle", saved, "--out", tmp_path / "out.png", "--json")[0] == 0


@pytest.mark.real_data
@pytest.mark.skipif(not (SHARED / "fixtures").exists(), reason="../shared/data/fixtures is not here")
@pytest.mark.parametrize("name", ["IMG_5195.HEIC", "landscape_5.jpg", "portrait_1.jpg", "Sony_HDR-HC3.jpg"])
def test_a_photograph_is_shown_upright_at_its_own_size(name: str, to_corner: Bundle, tmp_path: Path) -> None:
    found = explain(SHARED / "fixtures" / "camera" / name, of_any_size(to_corner), out=tmp_path / "out.png")
    size = np.array([found.detection.height, found.detection.width])
    wanted = size * min(1, 2048 / size.max())
    np.testing.assert_allclose(found.pixels.shape[:2], wanted, atol=0.5)
    with Image.open(tmp_path / "out.png") as written:
        assert written.width > 2 * found.pixels.shape[1]
