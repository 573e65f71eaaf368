"""Detection, side by side: start-up, a folder of small images, a folder of photos, and reading metadata.

    python benchmarks/detection.py cifake.zip --recipe resnet50 --out results/benchmarks/detection.json

Speed does not hang on what a network has learnt, so it is exported with its initial weights. `--part` measures one
part alone and keeps the rest of --out.
"""

import argparse
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from PIL import Image

from inference import make_bundle
from pyrite.bundle import Bundle, save_bundle
from pyrite.detector import Detector
from pyrite.evidence import read_evidence
from pyrite.golden import make_golden
from pyrite.image import open_image
from pyrite.keras_backend import export_onnx
from pyrite.recipe import load_recipe
from pyrite.runtime import Session
from pyrite.training.architectures import build_model
from training import PYRITE, in_turns, machine, seconds

BASELINE = "import numpy, PIL.Image, onnxruntime"


def main() -> None:
    """Run every comparison, print it, and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path, help="CIFAKE as a zip")
    parser.add_argument("--recipe", default="resnet50", help="whose network")
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes")
    parser.add_argument("--images", type=int, default=10_000, help="in the folder of small ones")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", action="append", help="cold_start, small_images, photos, metadata or memory")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe)
    model = build_model(recipe)
    bundle = make_bundle(export_onnx(model), recipe.height, recipe.width)
    found: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.part and arguments.out.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = unpack(arguments.archive, folder / "small", arguments.images)
        parts = {
            "cold_start": lambda: cold_start(small[0], folder),
            "small_images": lambda: small_images(bundle, model, small, arguments.rounds),
            "photos": lambda: photos(bundle, folder, arguments.rounds),
            "metadata": lambda: metadata(small[0], folder),
            "memory": lambda: memory(small[:1000], folder),
        }
        for part in arguments.part or parts:
            found[part] = {"machine": machine(), "recipe": recipe.name, **parts[part]()}
            print(part, json.dumps(found[part]), flush=True)
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")


def unpack(archive: Path, folder: Path, count: int) -> list[Path]:
    """Write the archive's first images to a folder."""
    folder.mkdir()
    paths = []
    with zipfile.ZipFile(archive) as opened:
        for i, name in enumerate(opened.namelist()[:count]):
            paths.append(folder / f"{i:06}.jpg")
            paths[-1].write_bytes(opened.read(name))
    return paths


def cold_start(image: Path, folder: Path) -> dict[str, float]:
    """Compare judging one image by the command line with importing what that cannot do without.

    With the smallest network: a large one takes as long to load as its file is large, whoever loads it.
    """
    ours = [str(PYRITE), "detect", str(image), "--bundle", str(small_bundle(folder))]
    imports = [sys.executable, "-c", BASELINE]

    def run(command: Sequence[str]) -> None:
        subprocess.run(command, check=True, capture_output=True)

    pairs = in_turns(lambda: run(ours), lambda: run(imports), rounds=10)
    return {
        "detect_seconds": statistics.median(a for a, _ in pairs),
        "imports_seconds": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(a / b for a, b in pairs),
    }


def small_bundle(folder: Path) -> Path:
    """Write a bundle of the smallest network, if it is not there already."""
    path = folder / "bundle"
    if not path.exists():
        recipe = load_recipe("tiny")
        bundle = make_bundle(export_onnx(build_model(recipe)), recipe.height, recipe.width)
        pixels = [np.full((32, 32, 3), value, np.uint8) for value in range(8)]
        golden = make_golden(bundle.info, bundle.read("model.onnx"), pixels)
        save_bundle(path, bundle.info, {**bundle.files, "golden.json": golden})
    return path


def small_images(bundle: Bundle, model: Any, paths: list[Path], rounds: int) -> dict[str, float]:
    """Compare the detector with Pillow and `model.predict`, in batches and in one call, and with its two floors."""
    detector = Detector(bundle)
    session = Session(bundle.read("model.onnx"))
    pixels = np.stack([open_image(path).pixels for path in paths])

    def ours() -> None:
        for _ in detector.detect_many(paths):
            pass

    def plain() -> None:
        for start in range(0, len(paths), 256):
            chunk = paths[start : start + 256]
            batch = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in chunk])
            model.predict(batch, batch_size=256, verbose=0)

    def plain_at_once() -> None:
        batch = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])
        model.predict(batch, batch_size=256, verbose=0)

    def score(batch: int) -> None:
        for start in range(0, len(pixels), batch):
            session.logits(pixels[start : start + batch])

    best = min((16, 32, 64, 128, 256), key=lambda batch: seconds(lambda: score(batch)))
    works = (ours, plain, plain_at_once, lambda: decode_all(paths), lambda: score(best))
    rows = in_turns(*works, rounds=rounds)
    return {
        "images": len(paths),
        "detector_seconds": statistics.median(row[0] for row in rows),
        "plain_seconds": statistics.median(row[1] for row in rows),
        "plain_at_once_seconds": statistics.median(row[2] for row in rows),
        "speedup_over_the_faster_plain": statistics.median(min(row[1:3]) / row[0] for row in rows),
        "decoding_alone_seconds": statistics.median(row[3] for row in rows),
        "session_alone_seconds": statistics.median(row[4] for row in rows),
        "session_best_batch": best,
        "ratio_to_slower_floor": statistics.median(row[0] / max(row[3:]) for row in rows),
    }


def decode_all(paths: list[Path]) -> None:
    """Decode with all cores and nothing else."""
    chunks = (joblib.delayed(decode_some)(paths[start : start + 500]) for start in range(0, len(paths), 500))
    joblib.Parallel(n_jobs=joblib.cpu_count())(chunks)


def decode_some(paths: list[Path]) -> None:
    """Decode by Pillow alone."""
    for path in paths:
        np.asarray(Image.open(path).convert("RGB"))


def photos(bundle: Bundle, folder: Path, rounds: int) -> dict[str, float]:
    """Compare the detector on 50 photos of 12 megapixels with decoding them by Pillow."""
    generator = np.random.default_rng(0)
    paths = [folder / f"photo{i}.jpg" for i in range(50)]
    for path in paths:
        make_photo(path, generator)
    detector = Detector(bundle)

    def ours() -> None:
        for _ in detector.detect_many(paths):
            pass

    def pillow() -> None:
        for path in paths:
            Image.open(path).load()

    pairs = in_turns(ours, pillow, rounds=rounds)
    return {
        "detector_seconds": statistics.median(a for a, _ in pairs),
        "pillow_seconds": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(a / b for a, b in pairs),
    }


def make_photo(path: Path, generator: np.random.Generator) -> None:
    """Write 12 megapixels of soft shapes and a sensor's noise as a JPEG with a camera's EXIF."""
    coarse = Image.fromarray(generator.integers(0, 256, (75, 100, 3), np.uint8))
    photo = np.asarray(coarse.resize((4000, 3000), Image.Resampling.BICUBIC), np.int16)
    noisy = photo + generator.normal(0, 4, photo.shape).astype(np.int16)
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Benchmark", "Camera"
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90, exif=exif)


def metadata(small: Path, folder: Path) -> dict[str, float]:
    """Time reading the evidence of a JPEG that has none, in milliseconds."""
    bare = io.BytesIO()
    make_photo(folder / "photo.jpg", np.random.default_rng(0))
    Image.open(folder / "photo.jpg").save(bare, "JPEG")
    found = {}
    for name, source in (("small_ms", small.read_bytes()), ("photo_ms", bare.getvalue())):
        image = open_image(source, at_least=(32, 32))
        times = []
        for _ in range(50):
            began = time.perf_counter()
            read_evidence(image)
            times.append(1000 * (time.perf_counter() - began))
        found[name] = statistics.median(times)
    return found


def memory(paths: list[Path], folder: Path) -> dict[str, float]:
    """Give the command line 200,000 paths on standard input, and tell its peak memory after 2,000 and after all."""
    peaks, peak = {}, 0
    for count in (2_000, 200_000):
        listed = "\n".join(str(paths[i % len(paths)]) for i in range(count)).encode()
        command = [str(PYRITE), "detect", "-", "--jsonl", "--bundle", str(small_bundle(folder))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            process.stdin.write(listed)
            process.stdin.close()
            # Not what wait4 tells, which counts this process too, as it was when it started the other.
            status = Path(f"/proc/{process.pid}/status")
            while process.poll() is None:
                lines = status.read_text().splitlines()
                peak = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), peak)
                time.sleep(0.1)
        peaks[f"peak_mb_after_{count}"] = peak / 1000
    return {**peaks, "growth_mb": peaks["peak_mb_after_200000"] - peaks["peak_mb_after_2000"]}


if __name__ == "__main__":
    main()
