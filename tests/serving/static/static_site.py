"""The page without a server on a host of static files, and what it says beside what Python says."""

import io
import json
import mimetypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from PIL import Image
from PIL.Image import Resampling

from pyrite.detector import Detector
from web import web

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")
expect = sync_api.expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

TOLERANCE = 1e-3
READ = ("credentials", "generator", "source_type", "camera", "reader", "frames", "pixels")
"""The kinds of evidence that the page reads."""


@dataclass(frozen=True)
class Site:
    url: str


@contextmanager
def hosting(folder: Path) -> Iterator[Site]:
    """Serve a folder below a path, as a host of static files does."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        inside = handler.path.partition("?")[0].removeprefix("/a/path/")
        file = folder / (inside or "index.html")
        found = handler.path.startswith("/a/path/") and file.is_file()
        content = file.read_bytes() if found else b"nothing"
        handler.send_response(200 if found else 404)
        handler.send_header("Content-Type", mimetypes.guess_type(file.name)[0] or "text/plain")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    with web(answer) as address:
        yield Site(f"{address}/a/path/")


def drawn(width: int, height: int, seed: int, mode: str = "RGB") -> Image.Image:
    """Return a picture with soft shapes and some noise, bright or dark by its seed."""
    random = np.random.default_rng(seed)
    bands = len(Image.new(mode, (1, 1)).getbands())
    coarse = random.integers(0, 256, (height // 6 + 2, width // 6 + 2, bands), np.uint8)
    soft = Image.fromarray(coarse.squeeze(), mode).resize((width, height), Resampling.BICUBIC)
    noisy = np.asarray(soft, np.int16) + random.integers(-30, 31, np.shape(soft)) + random.integers(-60, 61)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8), mode)


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def judge(page: "Page", files: Mapping[str, bytes | Path]) -> dict[str, dict[str, Any]]:
    """Choose files on the page, and return its detections by their names, as it exports them."""
    chosen = [
        file if isinstance(file, Path) else {"name": name, "mimeType": "", "buffer": file}
        for name, file in files.items()
    ]
    page.locator("#pick").set_input_files(chosen)  # type: ignore[arg-type]
    expect(page.locator("#cards > li")).to_have_count(len(files), timeout=60_000)
    expect(page.locator("#cards > li.pending")).to_have_count(0, timeout=180_000)
    with page.expect_download() as saved:
        page.locator("[data-export=json]").click()
    return {found["path"]: found for found in json.loads(saved.value.path().read_text("utf-8"))}


def assert_alike(page: "Page", detector: Detector, files: Mapping[str, bytes | Path]) -> int:
    """Hold the page to what Python says of each file but for a logit's rounding; return how many were scored."""
    found, scored = judge(page, files), 0
    for name, content in files.items():
        wanted, own = msgspec.to_builtins(detector.detect(content, path=name)), found[name]
        assert wanted["error"] is None, name
        scored += wanted["p_real"] is not None
        wanted["evidence"] = [item for item in wanted["evidence"] if item["kind"] in READ]
        for one, other in zip([wanted, *wanted.pop("evidence")], [own, *own.pop("evidence")], strict=True):
            if one.get("kind") == "reader":
                # Of what cannot be read in full, the reason is in the words of either library.
                assert one.pop("detail").partition(": ")[0] == other.pop("detail").partition(": ")[0], name
            pairs = [(one, other), (one.pop("data", {}), other.pop("data", {}))]
            for values, others in pairs:
                logits = values.pop("logit", None), others.pop("logit", None)
                # Out of scope, Python may have a score that decides nothing.
                if None not in logits:
                    assert logits[0] == pytest.approx(logits[1], abs=TOLERANCE), name
                probabilities = values.pop("probability", None), others.pop("probability", None)
                assert probabilities[0] == pytest.approx(probabilities[1], abs=TOLERANCE), name
                if isinstance(values.get("seed"), int) and values["seed"] >= 2**53:
                    values["seed"] = str(values["seed"])  # JavaScript would round it.
                assert others == values, name
    return scored
