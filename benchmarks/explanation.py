"""What a heatmap of a 12-megapixel photograph takes, beside an earlier version of Pyrite.

    python benchmarks/explanation.py --before ../earlier/src --bundle photos --out results/benchmarks/explanation.json

Each version has a process of its own, with the bundle loaded, and both take turns with `explain` of the same JPEG, from
the file to the picture. A small convolutional network on five crops of 224 pixels is always timed. With `--alone`, the
bundle is timed in this version alone, for the earlier one takes minutes. `cpu` are seconds of all threads: they depend
less on what else a machine does than `seconds`, which are by the clock.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from detection import make_photo
from training import machine

HERE = Path(__file__).resolve()


def main() -> None:
    """Run the comparison, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", help="that judges crops of photographs, to be timed beside the small network")
    parser.add_argument("--alone", action="store_true", help="time the bundle in this version alone")
    parser.add_argument("--before", type=Path, help="the src folder of an earlier version")
    parser.add_argument("--out", type=Path, help="where the JSON goes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer:
        answer(arguments.bundle, arguments.answer)
        return
    # Before --out is changed, which would count as a change of the source.
    found: dict[str, Any] = {"machine": machine(), "load_before": os.getloadavg(), "rounds": arguments.rounds}
    sources = {"after": HERE.parents[1] / "src"} | ({"before": arguments.before.resolve()} if arguments.before else {})
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        make_photo(photo, np.random.default_rng(0))
        save_toy(Path(folder) / "toy")
        for bundle in filter(None, (str(Path(folder) / "toy"), arguments.bundle)):
            versions = {"after": sources["after"]} if arguments.alone and bundle == arguments.bundle else sources
            name = Path(bundle).name
            found[name] = compare(bundle, photo, versions, arguments.rounds)
            print(name, json.dumps(found[name]), flush=True)
    found["load_after"] = os.getloadavg()
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def compare(bundle: str, photo: Path, sources: dict[str, Path], rounds: int) -> dict[str, Any]:
    """Let each version explain the photograph in turns."""
    children = {name: begin(bundle, photo, source) for name, source in sources.items()}
    told: dict[str, list[dict[str, float]]] = {name: [] for name in children}
    for _ in range(rounds):
        for name, child in children.items():
            assert child.stdin
            assert child.stdout
            child.stdin.write("go\n")
            child.stdin.flush()
            told[name].append(json.loads(child.stdout.readline()))
    for child in children.values():
        child.communicate()
    found: dict[str, Any] = {
        name: {key: statistics.median(one[key] for one in steps) for key in steps[0]} for name, steps in told.items()
    }
    if len(told) == 2:
        pairs = list(zip(told["before"], told["after"], strict=True))
        for key in ("seconds", "cpu"):
            found[f"ratio_{key}"] = statistics.median(a[key] / b[key] for a, b in pairs)
    return found


def begin(bundle: str, photo: Path, source: Path) -> subprocess.Popen[str]:
    """Start a version and wait until it is ready."""
    command = [sys.executable, str(HERE), "--bundle", bundle, "--answer", str(photo)]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=photo.parent
    )
    assert child.stdout
    assert child.stdout.readline() == "ready\n"
    return child


def answer(bundle: str, photo: Path) -> None:
    """Explain the photograph for each line that comes."""
    from pyrite.detector import Detector
    from pyrite.explanation import explain

    detector = Detector(bundle)
    detector.detect(photo)
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        detector.reader.read(photo)
        read = time.perf_counter()
        detector.detect(photo)
        detected, used = time.perf_counter(), time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            scored = explain(photo, detector, out=Path(folder) / "out.png").scored
        ended, spent = time.perf_counter(), time.process_time() - used
        seconds = {"read": read - began, "detect": detected - read, "seconds": ended - detected, "cpu": spent}
        seconds["scored"] = scored
        print(json.dumps(seconds), flush=True)


def save_toy(folder: Path) -> None:
    """Save a bundle of two convolutions on up to 5 crops of 224 pixels."""
    from onnx import TensorProto, helper, numpy_helper

    from inference import make_bundle
    from pyrite.bundle import Crops, save_bundle
    from pyrite.golden import make_golden

    random = np.random.default_rng(0)
    weights = {"first": random.normal(size=(16, 3, 7, 7)) / 1000, "second": random.normal(size=(32, 16, 3, 3)) / 10}
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["planes", "first"], ["edges"], strides=[4, 4]),
            helper.make_node("Relu", ["edges"], ["seen"]),
            helper.make_node("Conv", ["seen", "second"], ["shapes"], strides=[2, 2]),
            helper.make_node("ReduceMean", ["shapes", "axes"], ["logit"], keepdims=0),
        ],
        "small",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ("N", 224, 224, 3))],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ("N",))],
        [
            *(numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()),
            numpy_helper.from_array(np.array([1, 2, 3], np.int64), "axes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    plain = make_bundle(model, 224, 224)
    info = msgspec.structs.replace(plain.info, preprocess=Crops(height=224, width=224, most=5))
    images = list(np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), np.uint8))
    save_bundle(folder, info, {**plain.files, "golden.json": make_golden(info, model, images)})


if __name__ == "__main__":
    main()
