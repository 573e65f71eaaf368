"""A toy dataset, and one unbroken run on it that many tests look at."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import Run

from pyrite.datasets import make_toy
from pyrite.training import Recipe, load_recipe, train
from pyrite.training.checkpoint import State
from pyrite.training.loop import Step
from pyrite.training.material import Stage


@pytest.fixture(scope="session", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep decoded images and Keras's files out of the home folder, for child processes too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYRITE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "toy"
    make_toy(folder, count=160)
    return folder


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Three epochs of about a dozen steps."""
    return load_recipe("tiny", ["epochs=3", "batch_size=8"])


@pytest.fixture(scope="session")
def unbroken(toy: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Tests must not write to its folder."""
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    events: list[Stage | Step | State] = []
    return Run(out, recipe, train(toy, recipe, out, watch=events.append), events)
