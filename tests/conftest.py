"""A model small enough to reason about and a bundle of it; a toy dataset, and one unbroken training run on it."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lasting import LastingProcess
from pyrite.bundle import Bundle, BundleInfo, save_bundle
from pyrite.bundle.calibration import Calibration
from pyrite.bundle.preprocess import Resize
from pyrite.datasets import make_toy
from pyrite.decision import Policy, Scope
from pyrite.detector import confined
from pyrite.evaluation import plots
from pyrite.evaluation.plots import Picture
from pyrite.golden import make_golden
from pyrite.publishing.preparation import Stage
from pyrite.recipe import Recipe, load_recipe
from pyrite.training import train
from pyrite.training.checkpoint import State
from pyrite.training.loop import Step
from runs import Run

# As `load_keras` has it, also where a test imports TensorFlow by another way first: without oneDNN it rounds otherwise,
# and a resumed training would not be its unbroken twin to the last digit.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# A shell has what it starts in the background ignore Ctrl-C; all that the tests start would ignore it as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _build_model(
    *,
    shape: tuple[object, ...] = ("N", 32, 32, 3),
    dtype: str = "UINT8",
    axes: tuple[int, ...] = (1, 2, 3),
    keepdims: bool = False,
    scale: float = 0.1,
    outputs: int = 1,
) -> bytes:
    """Return an ONNX model whose logit is (mean brightness - 127.5) * scale."""
    from onnx import TensorProto, helper

    kept = [side for i, side in enumerate(shape) if i not in axes]
    constants = {"axes": np.array(axes, np.int64), "centre": np.float32(127.5), "scale": np.float32(scale)}
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=int(keepdims)),
            helper.make_node("Sub", ["mean", "centre"], ["centred"]),
            *(helper.make_node("Mul", ["centred", "scale"], [f"logit{i}"]) for i in range(outputs)),
        ],
        "brightness",
        [helper.make_tensor_value_info("image", getattr(TensorProto, dtype), shape)],
        [helper.make_tensor_value_info(f"logit{i}", TensorProto.FLOAT, kept) for i in range(outputs)],
        [
            helper.make_tensor(
                name,
                TensorProto.INT64 if value.dtype == np.int64 else TensorProto.FLOAT,
                value.shape,
                value.ravel().tolist(),
            )
            for name, value in constants.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return model.SerializeToString()


_ALONE = (
    *("architectures", "backbones", "distributed", "efficientnet", "export", "geometries", "graph", "loop"),
    *("normalisation", "photos", "probe", "tune"),
)
"""Files of tests that need TensorFlow, and no run that others share."""
_OF_FIGURES = ("test_report.py", "test_robustness.py", "test_compare.py")
"""Files of tests that look at what reports draw."""
_OF_SANDBOXES = ("test_confined.py", "test_killed_reports.py")
"""Files of tests that harm the processes of a sandbox, or look for them."""
_LONGEST = ("training", "machines", "tests/test_tutorial.py", "scanning", "static")


def _scope_of(nodeid: str) -> str:
    """Return what tests run in one process with a test: those of its file, or all that share something costly.

    Two processes import TensorFlow: one has the tests that share a run, and the other those that train by themselves
    or start others which do. Those of the page share a server and its packages.
    """
    file = nodeid.partition("::")[0]
    if "/converting/" in file or file.endswith(tuple(f"/test_{name}.py" for name in _ALONE)):
        return "machines"
    if "/training/" in file or "/publishing/" in file:
        return "training"
    if "/serving/static/" in file:
        return "static"
    return "scanning" if "/scanning/" in file else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run in several processes, keep together what `_scope_of` says, in the order of the tests."""
    from xdist.scheduler import LoadScopeScheduling

    class ByScope(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _scope_of(nodeid)

    config.option.loadscopereorder = False
    return ByScope(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that nothing of it is left for the end."""
    rank = {scope: place for place, scope in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(_scope_of(item.nodeid), len(rank)))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep images, bundles and Keras's files out of the home folder, before any other fixture of the session runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYRITE_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("PYRITE_DATA", str(tmp_path_factory.mktemp("data")))
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield


_drawn: dict[str, Picture] = {}


@pytest.fixture(scope="module", autouse=True)
def _one_figure_of_each_kind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Draw each kind of figure once and have all reports show that one, but where tests look at figures."""
    draw = plots._figure

    def draw_once(name: str, *arguments: Any) -> Picture:
        if name not in _drawn:
            _drawn[name] = draw(name, *arguments)
        return _drawn[name]

    with pytest.MonkeyPatch.context() as patch:
        if request.path.name not in _OF_FIGURES:
            patch.setattr(plots, "_figure", draw_once)
        yield


@pytest.fixture(scope="module", autouse=True)
def _commands_share_a_sandbox(request: pytest.FixtureRequest) -> Iterator[None]:
    """Read images in the sandbox of the test before, but where tests look at sandboxes: each takes 0.6 s to load."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name not in _OF_SANDBOXES:
            patch.setattr(confined, "Process", LastingProcess.take)
        yield


@pytest.fixture
def run_pyrite(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line, and return its exit code, stdout and stderr."""
    from pyrite.cli import main

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pyrite", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture(scope="session")
def build_model() -> Callable[..., bytes]:
    return _build_model


@pytest.fixture(scope="session")
def model() -> bytes:
    """The model of `bundle`: the brighter an image, the more it looks like AI."""
    return _build_model()


@pytest.fixture(scope="session")
def info() -> BundleInfo:
    """99 real calibration logits from -9.8 to 0 and 99 AI ones from 0 to 9.8: p-values in steps of 0.01."""
    return BundleInfo(
        name="brightness",
        version="1",
        licence="Apache-2.0",
        preprocess=Resize(height=32, width=32),
        scope=Scope(min_side=16, max_side=64, description="small images"),
        calibration=Calibration(
            slope=1.0,
            intercept=0.5,
            real={"all": tuple(round(i / 10, 1) for i in range(-98, 1))},
            ai={"all": tuple(round(i / 10, 1) for i in range(99))},
        ),
        policy=Policy(max_fpr=0.05, max_fnr=0.05),
    )


@pytest.fixture(scope="session")
def bundle(info: BundleInfo, model: bytes, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Saved to a folder: tests must not write there."""
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    files = {
        "model.onnx": model,
        "golden.json": make_golden(info, model, list(images)),
        "card.md": b"# Card\n",
    }
    folder: Path = tmp_path_factory.mktemp("bundles") / "brightness"
    return save_bundle(folder, info, files)


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
