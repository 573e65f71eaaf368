"""`renew`: everything in a bundle except its network, made again from its training data."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec

from pyrite.bundle import HEAD, VALIDATED, Bundle, BundleInfo, load_bundle
from pyrite.datasets import Dataset
from pyrite.errors import RecipeError, TrainingError, require
from pyrite.evaluation import Report
from pyrite.evaluation.stored import read_report
from pyrite.publishing.preparation import PreparedDataset, Stage, prepare_dataset
from pyrite.publishing.publish import publish, written
from pyrite.recipe import make_recipe
from pyrite.writing import whole_folder

_KEPT = ("recipe.toml", "trained_on.bin", VALIDATED, HEAD)


def renew(
    bundle: Bundle | str | Path,
    data: Dataset | str | Path,
    out: str | Path,
    *,
    version: str | None = None,
    unknown: Dataset | None = None,
    watch: Callable[[Stage], None] = lambda stage: None,
) -> Report:
    """Make a bundle of the same network, calibrated and measured again by this version of Pyrite.

    `out` will hold `bundle/` and `report/`, or nothing where this fails.

    Args:
        bundle: One that was trained here, or where it lies.
        data: The images that it was trained on, or where they lie.
        out: A folder that does not exist yet or is empty.
        version: Of the new bundle; `None` keeps that of the old one.
        unknown: A dataset with AI images by generators that it does not know, to be measured on as well.
        watch: Called with every stage.

    Raises:
        PyriteError: The bundle or the data cannot be used, or are not of each other.
    """
    require("train", "onnx", "sklearn", "matplotlib")
    bundle, out = bundle if isinstance(bundle, Bundle) else load_bundle(bundle), Path(out)
    check_new(out)
    if version == "":
        raise TrainingError("A bundle's version must not be empty.")
    material = prepare_again(bundle, data, watch)
    info = msgspec.structs.replace(bundle.info, version=version or bundle.info.version)
    return publish_again(out, bundle, info, bundle.read("model.onnx"), material, unknown=unknown, watch=watch)


def check_new(out: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        TrainingError: It does.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingError(f"{out} already exists. Choose another --out.")


def prepare_again(bundle: Bundle, data: Dataset | str | Path, watch: Callable[[Stage], None]) -> PreparedDataset:
    """Decode and split the data that a bundle was trained on, as its training did.

    Args:
        bundle: One that was trained here.
        data: The images, or where they lie.
        watch: Called with every stage.

    Raises:
        DatasetError: The data cannot be used.
        TrainingError: The bundle does not say how it was trained, or it was on other data.
    """
    name, training = bundle.info.name, bundle.info.training
    if training is None or "recipe.toml" not in bundle.files:
        raise TrainingError(f"The bundle {name} does not say what it was trained on.")
    try:
        recipe = make_recipe(tomllib.loads(bundle.read("recipe.toml").decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecipeError) as error:
        raise TrainingError(f"recipe.toml in the bundle {name} is not understood: {error}") from error
    material = prepare_dataset(data, recipe, watch, trained=[bundle])
    if material.sha256 != training.data.sha256:
        raise TrainingError(f"The bundle {name} was trained on other data than {material.dataset.name}.")
    return material


def publish_again(
    out: Path,
    bundle: Bundle,
    info: BundleInfo,
    model: bytes,
    material: PreparedDataset,
    *,
    unknown: Dataset | None = None,
    watch: Callable[[Stage], None],
) -> Report:
    """Publish a bundle with another model, all of it or nothing; see `publish`.

    The bundle also knows the generators that the data names by now.
    """
    kept = {name: content for name, content in bundle.files.items() if name in _KEPT}
    history = stored.history if (stored := read_report(bundle)) else None
    info = msgspec.structs.replace(info, knows=material.known_generators([bundle]))
    with written(out), whole_folder(out) as draft:
        return publish(draft, info, {**kept, "model.onnx": model}, material, history, unknown=unknown, watch=watch)
