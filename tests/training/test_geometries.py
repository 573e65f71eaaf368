"""Training by each geometry, from the recipe to the bundle that is used."""

import base64
import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from pyrite.bundle import Bundle, Crops, Resize, load_bundle
from pyrite.datasets import Canvases, make_toy
from pyrite.detector import Detector
from pyrite.errors import RecipeError
from pyrite.evaluation import Report, evaluate
from pyrite.golden import replay_golden
from pyrite.publishing import quantize
from pyrite.recipe import load_recipe
from pyrite.results import Reason
from pyrite.training import batches, train
from pyrite.training.loop import Step
from pyrite.training.train import _scope
from runs import Trained, assert_trained_alike, stop_once_trained

COUNT, SIZE, CROP = 240, 192, 48
SETTINGS = (f"height={CROP}", f"width={CROP}", "batch_size=16", "fractions=0.5,0.15,0.35", "learning_rate=0.03")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy dataset of full-size images, whose trace only native pixels have."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    make_toy(folder, count=COUNT, size=SIZE)
    return folder


@pytest.mark.slow
def test_native_crops_find_what_resizing_destroys(photos: Path, tmp_path: Path) -> None:
    reports: dict[str, Report] = {}
    for geometry in ("crops", "resize"):
        recipe = load_recipe("crops", [*SETTINGS, "epochs=20", "patience=20", f"geometry={geometry}"])
        report = train(photos, recipe, tmp_path / geometry)
        assert report
        reports[geometry] = report
    found = {name: report.as_is.headline.auroc for name, report in reports.items()}
    assert reports["crops"].as_is.headline.images > 80
    assert found["crops"]
    assert found["crops"].value > 0.95, found
    assert found["resize"]
    assert found["resize"].value < 0.7, found  # Chance, by three standard errors.
    bundle = load_bundle(tmp_path / "crops" / "bundle")
    assert replay_golden(bundle).passed
    # Of images of any size, the score is that of crops at their own resolution.
    detector = Detector(bundle)
    make_toy(tmp_path / "larger", count=20, size=300, seed=1)
    logits = {
        name: [detector.detect(path).logit or 0 for path in (tmp_path / "larger").rglob(f"{name}/*.png")]
        for name in ("REAL", "FAKE")
    }
    assert np.median(logits["REAL"]) < np.median(logits["FAKE"])


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 images of 20 to 89 pixels a side, in a folder whose manifest names what generated those of AI."""
    folder = tmp_path_factory.mktemp("mixed")
    rng = np.random.default_rng(0)
    rows = ["path,label,Generator"]
    for i in range(120):
        height, width = (int(side) for side in rng.integers(20, 90, 2))
        ai = i % 2
        pixels = rng.integers(0, 200 + 55 * ai, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        rows.append(f"{i}.png,{'ai' if ai else 'real'},{('SD 1.5', 'flux', ' ')[i % 3] if ai else 'camera'}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


CROPS = ("height=24", "width=28", "crops=5", "top_share=0.5", "canvas=60", "epochs=2", "batch_size=16", "degrade=0.2")


@pytest.fixture(scope="module")
def run(mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tests must not write there."""
    out = tmp_path_factory.mktemp("runs") / "crops"
    assert train(mixed, load_recipe("crops", CROPS), out)
    return out


@pytest.fixture(scope="module")
def crops(run: Path) -> Bundle:
    return load_bundle(run / "bundle")


def test_a_bundle_of_crops_says_how_it_looks_at_images_and_at_which(crops: Bundle) -> None:
    assert crops.info.preprocess == Crops(height=24, width=28, most=5, top_share=0.5)
    assert (crops.info.scope.min_side, crops.info.scope.max_side) == (20, None)  # Training saw smaller ones.
    assert crops.info.scope.description.endswith("20 or more pixels a side.")
    assert crops.info.knows == ("SD 1.5", "flux")
    assert crops.info.policy.real_needs_provenance  # Photographs are in its scope.
    assert not crops.info.one_by_one
    card = crops.read("card.md").decode()
    for words in (
        "- The model sees up to 5 crops of an image, 28 × 24 pixels each. Nothing is resized. The image's score is the "
        "mean of the highest 50% of the crops' scores.",
        "- Generators it knows: SD 1.5, flux.",
    ):
        assert words in card


def test_it_is_calibrated_and_measured_by_what_the_detector_says_of_whole_images(
    run: Path, crops: Bundle, mixed: Path
) -> None:
    again = evaluate(crops, mixed)
    assert again.as_is.headline == evaluate(run / "bundle", mixed).as_is.headline
    assert crops.read("report.json") == (run / "report" / "report.json").read_bytes()
    told = msgspec.json.decode(crops.read("report.json"))["as_is"]["headline"]
    assert again.as_is.headline.images == told["images"]
    validation = evaluate(crops, mixed, protocol="validation").as_is.headline.images
    calibration = crops.info.calibration
    assert len(calibration.real["all"]) + len(calibration.ai["all"]) == validation
    assert again.robustness is None
    report = msgspec.json.decode(crops.read("report.json"))
    assert report["robustness"] is not None


def test_its_golden_images_are_small_and_give_several_crops(crops: Bundle) -> None:
    assert replay_golden(crops).passed
    vectors = msgspec.json.decode(crops.read("golden.json"))["vectors"]
    sizes = [Image.open(io.BytesIO(base64.b64decode(vector["png"]))).size for vector in vectors]
    assert len(sizes) == 10
    assert max(max(size) for size in sizes) <= 128
    assert max(len(crops.info.preprocess.regions(*size)) for size in sizes) > 1


def test_images_of_any_larger_size_are_in_scope(crops: Bundle) -> None:
    detector = Detector(crops)
    for size, reason in (((19, 500), Reason.OUT_OF_SCOPE), ((20, 20), None), ((900, 1100), None)):
        found = detector.detect(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))
        assert (found.reason == Reason.OUT_OF_SCOPE) == (reason is not None), size


@pytest.mark.filterwarnings("ignore::DeprecationWarning:onnxruntime.*")
def test_it_can_be_quantised(crops: Bundle, mixed: Path, tmp_path: Path) -> None:
    report = quantize(crops, mixed, tmp_path / "int8")
    small = load_bundle(tmp_path / "int8" / "bundle")
    assert (small.info.preprocess, small.info.scope) == (crops.info.preprocess, crops.info.scope)
    assert replay_golden(small).passed
    assert report.as_is.headline.images > 0
    told = small.info.quantization
    assert told
    assert abs(told.float_accuracy - told.int8_accuracy) <= 0.1


def test_a_run_on_crops_that_was_stopped_goes_on_as_an_unbroken_one(run: Path, mixed: Path, tmp_path: Path) -> None:
    def stop(event: object) -> None:
        if isinstance(event, Step) and (event.epoch, event.step) == (2, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(mixed, load_recipe("crops", CROPS), tmp_path / "out", watch=stop)
    with pytest.raises(Trained):
        train(mixed, load_recipe("crops", CROPS), tmp_path / "out", resume=True, watch=stop_once_trained)
    assert_trained_alike(tmp_path / "out", run)


def test_the_shorter_side(mixed: Path, tmp_path: Path) -> None:
    settings = ["geometry=shorter_side", "shorter_side=36", "filter=bicubic", "epochs=1", "batch_size=16"]
    train(mixed, load_recipe("tiny", settings), tmp_path / "out")
    bundle = load_bundle(tmp_path / "out" / "bundle")
    assert (bundle.info.scope.min_side, bundle.info.scope.max_side) == (20, 89)
    assert replay_golden(bundle).passed
    assert (
        "resized until its shorter side has 36 pixels. The model sees only its centre, 32 × 32 pixels."
        in bundle.read("card.md").decode()
    )


def test_random_crops_of_the_shorter_side_augmented_balanced_and_mixed(
    mixed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [
        *("geometry=shorter_side", "shorter_side=36", "canvas=60", "scales=0.9,1.5", "epochs=1", "batch_size=16"),
        *("balance=sampling", "balance_by=generator", "cutmix=1", "ema_momentum=0.5", "augment_screenshot=0.5"),
    ]
    seen: list[Canvases] = []
    original = batches._crop

    def note(source: Canvases, *rest: Any) -> Any:
        seen.append(source)
        return original(source, *rest)

    monkeypatch.setattr(batches, "_crop", note)
    report = train(mixed, load_recipe("tiny", settings), tmp_path / "out")
    assert report
    assert report.robustness is not None
    assert replay_golden(load_bundle(tmp_path / "out" / "bundle")).passed
    extents = seen[0].extents
    assert (extents.min(1) == 36).all()  # What crops are taken from is resized as the whole image is.
    assert extents.max() == 60


def test_balance_by_generator_needs_to_be_told_them(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"needs data with a column 'generator', which .* Use --set balance_by=class"):
        train(toy, load_recipe("tiny", ["balance=weights", "balance_by=generator"]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_scope_follows_from_the_geometry_and_what_was_learnt_from() -> None:
    def sizes(preprocess: Crops | Resize, *sides: tuple[int, int]) -> tuple[int, int | None]:
        scope = _scope(preprocess, np.array(sides, np.int32), "data")
        return scope.min_side, scope.max_side

    crops, large = Crops(height=64, width=96), [(100, 900)] * 300
    assert sizes(crops, *large) == (96, None)
    assert sizes(crops, *large, (30, 500)) == (96, None)  # One among hundreds says nothing.
    assert sizes(crops, *large, *[(80, 90)] * 10) == (80, None)
    assert sizes(crops, (30, 40), (500, 600)) == (30, None)
    assert sizes(Resize(height=64, width=96), *large, (30, 500)) == (30, 900)


def test_what_is_too_large_to_be_exported_is_refused_before_anything_is_decoded(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyrite.training import export

    monkeypatch.setattr(export, "MAX_WEIGHTS", 1000)
    stages: list[object] = []
    with pytest.raises(RecipeError, match=r"more than the 0\.0 GB that a bundle's model can hold\. Choose a smaller"):
        train(toy, load_recipe("tiny"), tmp_path / "out", watch=stages.append)
    assert [stage.name for stage in stages] == ["Building the network"]  # type: ignore[attr-defined]
    assert not (tmp_path / "out").exists()
