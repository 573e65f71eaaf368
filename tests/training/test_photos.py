"""The recipes for photographs, made small, from the command line to a bundle."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from pyrite.bundle import load_bundle
from pyrite.evaluation import Report
from pyrite.golden import replay_golden
from pyrite.keras_backend import load_keras
from pyrite.recipe import load_recipe
from pyrite.training import train
from pyrite.training.loop import Step
from runs import Trained, assert_trained_alike, stop_once_trained

SAVES = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
SMALL = ("precision=float32", "fractions=0.5,0.15,0.35", "batch_size=8")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JPEGs of 140 to 239 pixels a side, whose grain runs across in photographs and down in AI images.

    So no statistic of colour, contrast or the radial spectrum tells them apart, and files do not either.
    """
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for i in range(160):
        height, width = (int(side) for side in rng.integers(140, 240, 2))
        scene = Image.fromarray(rng.integers(40, 216, (4, 5, 3), np.uint8)).resize((width, height))
        noise = rng.normal(0, 10, (height, width, 1))
        grain = np.sum([np.roll(noise, k, axis=1 - i % 2) for k in range(6)], axis=0)
        path = folder / ("ai" if i % 2 else "real") / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray((np.asarray(scene) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=95)
    return folder


@pytest.mark.slow
def test_a_network_from_scratch_beats_the_floor(photos: Path, tmp_path: Path) -> None:
    size = ("height=48", "width=48", "canvas=128", "crops=2", "architecture=tiny", "learning_rate=0.03", "warmup=0.1")
    settings = (*SMALL, *size, "epochs=8", "ema_momentum=0.8")
    report = train(photos, load_recipe("photos-scratch", settings), tmp_path / "out")
    assert report
    assert report.floor
    assert report.floor.best
    assert report.as_is.headline.auroc
    assert report.as_is.headline.auroc.value > max(0.9, report.floor.best.auroc.high)
    assert report.robustness is not None
    assert replay_golden(load_bundle(tmp_path / "out" / "bundle")).passed


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    """A vision transformer of one block, for images of 28 × 28 pixels."""
    import keras_hub

    load_keras().utils.set_random_seed(0)
    backbone = keras_hub.models.ViTBackbone(
        image_shape=(28, 28, 3), patch_size=14, num_layers=1, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    converter = keras_hub.layers.ViTImageConverter(scale=1 / 127.5, offset=-1.0, _allow_python_workflow=True)
    for part in (backbone, converter):
        part.save_to_preset(tmp_path / "vit")
    return tmp_path / "vit"


@SAVES
def test_a_probe_on_a_preset(
    photos: Path, preset: Path, tmp_path: Path, run_pyrite: Callable[..., tuple[int, str, str]]
) -> None:
    sets = [*SMALL, f"backbone={preset}", "height=28", "width=28", "shorter_side=28", "views=1"]
    flags = [part for setting in sets for part in ("--set", setting)]
    code, _, told = run_pyrite("train", photos, "--recipe", "photos-probe", *flags, "--out", tmp_path / "out")
    assert code == 0, told
    assert "Computing features" in told
    bundle = load_bundle(tmp_path / "out" / "bundle")
    assert replay_golden(bundle).passed
    report = msgspec.json.decode(bundle.read("report.json"), type=dict[str, Any])
    assert report["as_is"]["headline"]["images"] > 40


@SAVES
def test_fine_tuning_begins_with_weights_from_a_file(photos: Path, tmp_path: Path) -> None:
    settings = [
        *SMALL,
        "backbone=MobileNet",
        "height=32",
        "width=32",
        "canvas=64",
        "crops=1",
        "epochs=1",
        "trainable=last",
    ]
    mine = load_keras().applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3))
    mine.save_weights(tmp_path / "mine.weights.h5")
    recipe = load_recipe("photos-finetune", [*settings, f"weights={tmp_path / 'mine.weights.h5'}", "limit=60"])
    report = train(photos, recipe, tmp_path / "out")
    assert isinstance(report, Report)
    assert replay_golden(load_bundle(tmp_path / "out" / "bundle")).passed


@SAVES
def test_low_rank_updates_that_were_stopped_go_on_as_unbroken_ones(photos: Path, preset: Path, tmp_path: Path) -> None:
    size = ("height=28", "width=28", "canvas=56", "crops=1", "epochs=2")
    # Without augmentations, which `test_loop` has: a report of a network that is trained with them takes longer.
    kinds = ("resize", "colour", "blur", "noise", "screenshot", "jpeg", "webp")
    plain = [f"augment_{kind}=0" for kind in kinds]
    own = (f"backbone={preset}", "weights=preset", "pooling=token", "trainable=lora", "lora_rank=2", "limit=60")
    recipe = load_recipe("photos-finetune", [*SMALL, *size, *plain, *own])

    def stop(event: object) -> None:
        if isinstance(event, Step) and (event.epoch, event.step) == (2, 2):
            raise KeyboardInterrupt

    for name, watch in (("whole", None), ("broken", stop)):
        with pytest.raises(KeyboardInterrupt) if watch else nullcontext():
            train(photos, recipe, tmp_path / name, watch=watch or (lambda event: None))
    with pytest.raises(Trained):
        train(photos, recipe, tmp_path / "broken", resume=True, watch=stop_once_trained)
    assert_trained_alike(tmp_path / "broken", tmp_path / "whole")
