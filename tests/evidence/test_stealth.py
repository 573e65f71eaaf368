"""Settings in the lowest bits of the pixels, hidden as programs hide them."""

import gzip
import io
import json
import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest
from metadata_files import SETTINGS, encode, only
from PIL import Image as PillowImage

from pyrite.evidence import read_evidence
from pyrite.evidence.metadata import read_metadata
from pyrite.image import open_image
from pyrite.results import Verdict

NOVELAI = {
    "Software": "NovelAI", "Source": "NovelAI Diffusion V4", "Description": "a duck", "Title": None,
    "Comment": json.dumps({"seed": 5, "uc": "blurry", "sampler": "k_euler", "steps": 28}),
}  # fmt: skip


def make_pixels(height: int = 60, width: int = 90, channels: int = 4) -> np.ndarray[Any, np.dtype[np.uint8]]:
    # Smooth, so that every kind of filter has its uses.
    slope = np.add.outer(np.arange(height) * 2, np.arange(width) * 3)[..., None] + np.arange(channels) * 50
    return (slope % 256).astype(np.uint8)


def hide(pixels: np.ndarray[Any, np.dtype[np.uint8]], signature: str, text: str, length: int | None = None) -> bytes:
    """Return a PNG file with a text in the lowest bits of alpha, or red, green and blue, as the signature has it."""
    content = gzip.compress(text.encode()) if signature.endswith("comp") else text.encode()
    size = 8 * len(content) if length is None else length
    bits = np.unpackbits(np.frombuffer(signature.encode() + struct.pack(">I", size) + content, np.uint8))
    turned = pixels.swapaxes(0, 1).copy()
    flat = (turned[..., 3:] if "png" in signature else turned[..., :3]).reshape(-1)
    flat[: len(bits)] = flat[: len(bits)] & 0xFE | bits
    turned[..., slice(3, 4) if "png" in signature else slice(3)] = flat.reshape(*turned.shape[:2], -1)
    return save(turned.swapaxes(0, 1))


def save(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    stream = io.BytesIO()
    PillowImage.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("size", [(60, 90), (64, 64), (300, 20), (12, 400), (3, 1500)])
@pytest.mark.parametrize("signature", ["stealth_pnginfo", "stealth_pngcomp", "stealth_rgbinfo", "stealth_rgbcomp"])
def test_hidden_settings(signature: str, size: tuple[int, int]) -> None:
    for channels in (4,) if "png" in signature else (3, 4):
        found = only(hide(make_pixels(*size, channels), signature, SETTINGS))
        assert (found.says, found.data["seed"], found.data["place"]) == (Verdict.AI, 4183556137, "hidden text")
        assert found.detail.startswith("The file's hidden text says that this image was made with AI by AUTOMATIC1111")


@pytest.mark.parametrize("kind", range(5))
def test_hidden_settings_under_every_filter_of_png(kind: int) -> None:
    pixels = np.asarray(PillowImage.open(io.BytesIO(hide(make_pixels(), "stealth_pngcomp", SETTINGS)))).astype(int)
    left, above = (np.pad(pixels, pad)[: pixels.shape[0], : pixels.shape[1]] for pad in (
        ((0, 0), (1, 0), (0, 0)), ((1, 0), (0, 0), (0, 0)),
    ))  # fmt: skip
    corner = np.pad(pixels, ((1, 0), (1, 0), (0, 0)))[:-1, :-1]
    near = np.stack([left, above, corner])
    paeth = np.take_along_axis(near, np.abs(near - (left + above - corner)).argmin(0)[None], 0)[0]
    predicted = (0, left, above, (left + above) // 2, paeth)[kind]
    rows = ((pixels - predicted) % 256).astype(np.uint8).reshape(len(pixels), -1)
    content = zlib.compress(b"".join(bytes((kind,)) + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", pixels.shape[1], len(pixels), 8, 6, 0, 0, 0)
    parts = [
        (b"IHDR", header),
        *((b"IDAT", content[at : at + 99]) for at in range(0, len(content), 99)),
        (b"IEND", b""),
    ]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part)) for name, part in parts
    )
    assert only(data).data["seed"] == 4183556137


def test_novelai_hides_all_its_texts() -> None:
    found = only(hide(make_pixels(), "stealth_pngcomp", json.dumps(NOVELAI)))
    assert found.data == {
        "generator": "NovelAI", "place": "hidden text", "model": "NovelAI Diffusion V4", "prompt": "a duck",
        "negative_prompt": "blurry", "seed": 5, "company": "Anlatan", "extent": "whole",
        "software": "NovelAI",
    }  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        hide(make_pixels(), "stealth_pnginfo", "say cheese"),
        hide(make_pixels(), "stealth_pnginfo", SETTINGS, length=2**32 - 1),
        hide(make_pixels(), "stealth_pngcomp", SETTINGS, length=80),
        hide(make_pixels(), "stealth_pngc___", SETTINGS),
        hide(make_pixels(400, 400), "stealth_pngcomp", "\0" * 9_000_000),
        hide(make_pixels(channels=3), "stealth_rgbinfo", '{"Software": 3}'),
        save(make_pixels(2, 2)),
        save(make_pixels()),
        encode("PNG"),
    ],
    ids=range(9),
)
def test_what_is_not_hidden_settings_says_nothing(data: bytes) -> None:
    start = time.process_time()
    assert read_evidence(open_image(data)) == []
    assert time.process_time() - start < 1


@pytest.mark.parametrize("channels", [3, 4])
def test_a_large_png_that_hides_nothing_costs_next_to_nothing(channels: int) -> None:
    stream = io.BytesIO()
    PillowImage.fromarray(make_pixels(1500, 2000, channels)).save(stream, "PNG", compress_level=1)
    image = open_image(stream.getvalue(), at_least=(32, 32))
    costs = []
    for _ in range(5):
        start = time.process_time()
        assert read_metadata(image).fields == ()
        costs.append(time.process_time() - start)
    assert min(costs) < 0.01
