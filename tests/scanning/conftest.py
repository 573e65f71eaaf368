"""A corpus of tiny images, and ways to scan it."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from corpora import COMMAND, PICTURES, progress_of

import waiting
from pyrite.bundle import Bundle, BundleInfo, save_bundle
from pyrite.golden import make_golden


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 images in two folders, and one file that is none."""
    root = tmp_path_factory.mktemp("corpus")
    for number, data in enumerate(PICTURES):
        path = root / ("dark" if number < 30 else "light") / f"{number:03}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    (root / "notes.png").write_bytes(b"no image")
    return root


@pytest.fixture(scope="session")
def large(info: BundleInfo, model: bytes, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of brightness with 70 MB of weights, which stay on disk."""
    import onnx
    from onnx import helper, numpy_helper

    graph = onnx.load_model_from_string(model)
    weights = np.random.default_rng(0).random(17_500_000, np.float32)
    graph.graph.initializer.append(numpy_helper.from_array(weights, "weights"))
    graph.graph.node.append(helper.make_node("ReduceMax", ["weights"], ["most"], keepdims=0))
    graph.graph.node.append(helper.make_node("Add", ["logit0", "most"], ["sum"]))
    graph.graph.node.append(helper.make_node("Sub", ["sum", "most"], ["logit"]))
    graph.graph.output[0].name = "logit"
    whole = graph.SerializeToString()
    golden = make_golden(info, whole, list(np.zeros((8, 32, 32, 3), np.uint8)))
    folder = tmp_path_factory.mktemp("large") / "large"
    return save_bundle(folder, info, {"model.onnx": whole, "golden.json": golden})


@pytest.fixture
def start(bundle: Bundle) -> Callable[..., "subprocess.Popen[str]"]:
    """Start `pyrite scan` as a process of its own."""

    def run(*arguments: str | Path, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*COMMAND, "scan", *map(str, arguments), "--bundle", str(bundle.path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"} | environment,
        )

    return run


@pytest.fixture
def finish(start: Callable[..., "subprocess.Popen[str]"]) -> Callable[..., tuple[int, str, str]]:
    """Run `pyrite scan` to its end: its exit code, and what it printed."""

    def run(*arguments: str | Path, **environment: str) -> tuple[int, str, str]:
        process = start(*arguments, **environment)
        printed = waiting.finish(process, lambda: progress_of(process, Path(arguments[arguments.index("--out") + 1])))
        return process.returncode, *printed

    return run
