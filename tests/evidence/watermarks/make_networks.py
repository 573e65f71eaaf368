"""Makes the golden files of marks by networks with their real writers, once; tests need neither package.

    python -m venv scratch
    scratch/bin/pip install --no-deps invisible-watermark==0.2.0 trustmark==0.9.2
    scratch/bin/pip install numpy pillow onnxruntime
    scratch/bin/python tests/evidence/watermarks/make_networks.py

RivaGAN's writer needs torch for no more than what numpy does here; its network is the package's own. Of TrustMark, the
code that corrects errors alone is used, since its weights come from elsewhere.
"""

import importlib.util
import json
import random
import sys
import types
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

HERE = Path(__file__).parent


def folder_of(package: str) -> Path:
    """Return where a package lies, without importing it: both import torch."""
    spec = importlib.util.find_spec(package)
    assert spec
    assert spec.origin
    return Path(spec.origin).parent


def picture() -> np.ndarray:
    """Return clouds: the mark hides in what is rough, and is lost where an image is smooth."""
    chance = np.random.default_rng(0)
    pixels = np.full((256, 256, 3), 128.0)
    for cells, height in ((8, 60), (32, 40), (64, 30)):
        layer = chance.uniform(-height, height, (cells, cells)).astype(np.float32)
        pixels += np.asarray(Image.fromarray(layer).resize((256, 256), Image.Resampling.BICUBIC))[..., None]
    return np.clip(pixels, 0, 255).astype(np.uint8)


def write_rivagan(pixels: np.ndarray, code: bytes) -> np.ndarray:
    """Return an image with a mark, as `RivaWatermark.encode` has it; it takes blue, green and red."""
    network = onnxruntime.InferenceSession(folder_of("imwatermark") / "rivagan_encoder.onnx")
    frame = (pixels[..., ::-1].astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None, :, None]
    bits = np.unpackbits(np.frombuffer(code, np.uint8)).astype(np.float32)[None]
    (marked,) = network.run(None, {"frame": frame, "data": bits})
    return ((np.clip(marked, -1, 1)[0, :, 0].transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)[..., ::-1]


def words() -> list[dict[str, object]]:
    """Return what TrustMark's own code makes of words with none or some bits wrong, and of chance."""
    package = types.ModuleType("trustmark")
    package.__path__ = [str(folder_of("trustmark"))]
    sys.modules["trustmark"] = package
    from trustmark.datalayer import DataLayer

    chance = random.Random(0)
    made = []
    for mode in range(4):
        layer = DataLayer(100, False, mode)
        capacity, correctable = layer.schemaCapacity(mode), layer.bch_encoder.ECCstate.t
        for wrong in range(correctable + 2):
            identifier = "".join(chance.choice("01") for _ in range(capacity))
            (word,) = layer.encode_binary([identifier])
            for place in chance.sample(range(96), wrong):
                word[place] = 1 - word[place]
            found, detected, _ = layer.decode_bitstream(np.array([word]), MODE="binary")[0]
            made.append(
                {
                    "word": "".join(str(int(bit)) for bit in word),
                    "schema": layer.schemaInfo(mode),
                    "wrong": wrong,
                    "identifier": found if detected else None,
                }
            )
    return made


def main() -> None:
    """Write the files."""
    for name, code in (("rivagan-sd2", b"SDV2"), ("rivagan-other", b"test")):
        Image.fromarray(write_rivagan(picture(), code)).save(HERE / f"{name}.jpg", quality=85)
    lines = ",\n".join(json.dumps(word) for word in words())
    (HERE / "trustmark.json").write_text(f"[\n{lines}\n]\n", "ascii")


if __name__ == "__main__":
    main()
