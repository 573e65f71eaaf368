"""The page without a server, in a real browser, beside what Python says of the same files."""

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from PIL import Image
from PIL.Image import Resampling
from static_site import Site, assert_alike, drawn, encoded, expect, hosting, judge

from authority import make_authority, sign
from pyrite.bundle import (
    DEFAULT,
    NOVELTY,
    Bundle,
    Crops,
    Panel,
    ShorterSide,
    load_bundle,
    read_novelty,
    save_bundle,
    write_novelty,
)
from pyrite.bundle.calibration import Calibration
from pyrite.bundle.novelty import Gaussians, unit
from pyrite.bundle.preprocess import Preprocess
from pyrite.decision import Policy, Scope
from pyrite.detector import Detector
from pyrite.errors import PyriteError
from pyrite.evidence import load_trust
from pyrite.golden import make_golden
from pyrite.serving import write_page

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).parents[3]
FIXTURES = ROOT.parent / "shared" / "data" / "fixtures"
CIFAKE = Path(__file__).parents[4] / "shared" / "data" / "cifake.zip"

pytestmark = pytest.mark.usefixtures("runtime")


def with_geometry(
    served: Path, folder: Path, name: str, preprocess: Preprocess, scope: Scope, calibration: Calibration | None = None
) -> Bundle:
    """Save the bundle with the model of `served_bundle` that looks at images in this way."""
    own = load_bundle(served)
    info = msgspec.structs.replace(
        own.info, name=name, preprocess=preprocess, scope=scope, calibration=calibration or own.info.calibration
    )
    model, random = own.read("model.onnx"), np.random.default_rng(0)
    images = [random.integers(0, 256, (40 + i, 60 - i, 3), np.uint8) for i in range(8)]
    return save_bundle(folder / name, info, {"model.onnx": model, "golden.json": make_golden(info, model, images)})


def many(sizes: Sequence[tuple[int, int]]) -> dict[str, bytes]:
    """Return images of these sizes in every way that browsers and Pillow both know."""
    files = {}
    turned = Image.Exif()
    for seed, (width, height) in enumerate(sizes):

        def draw(mode: str = "RGB", seed: int = seed, size: tuple[int, int] = (width, height)) -> Image.Image:
            return drawn(*size, seed, mode)

        turned[0x0112] = 1 + seed % 8
        files |= {
            f"{seed}-444.jpg": encoded(draw(), "JPEG", quality=92, subsampling=0),
            f"{seed}-422.jpg": encoded(draw(), "JPEG", quality=80, subsampling=1, exif=turned),
            f"{seed}-420.jpg": encoded(draw(), "JPEG", quality=60, subsampling=2, progressive=True),
            f"{seed}-grey.jpg": encoded(draw("L"), "JPEG"),
            f"{seed}-rgb.png": encoded(draw(), "PNG"),
            f"{seed}-rgba.png": encoded(draw("RGBA"), "PNG"),
            f"{seed}-palette.png": encoded(draw().quantize(50), "PNG"),
            f"{seed}-lossy.webp": encoded(draw("RGBA"), "WEBP", quality=70),
            f"{seed}-lossless.webp": encoded(draw(), "WEBP", lossless=True, exif=turned),
            f"{seed}.gif": encoded(draw(), "GIF"),
            f"{seed}.bmp": encoded(draw(), "BMP"),
        }
    return files


def test_it_says_what_python_says_of_all_formats(
    visit: Callable[..., "Page"], host: Callable[..., Site], served_bundle: Path
) -> None:
    files = many([(32, 32), (47, 33), (64, 40), (200, 130)])
    animated = [drawn(32, 32, seed) for seed in range(3)]
    files["moves.gif"] = encoded(animated[0], "GIF", save_all=True, append_images=animated[1:])
    page = visit(host(served_bundle))
    assert assert_alike(page, Detector(served_bundle, evidence=False), files) == 3 * 11 + 1


def test_it_resizes_and_crops_as_pillow_and_numpy_do(
    visit: Callable[..., "Page"], host: Callable[..., Site], served_bundle: Path, tmp_path: Path
) -> None:
    """Two bundles that share their budget, of which one looks at what the other does not."""
    groups = {"a": (-9.0, -1.0, 0.0), "b": tuple(i / 10 for i in range(-150, -30))}
    bundles = (
        with_geometry(
            served_bundle,
            tmp_path,
            "sides",
            ShorterSide(height=32, width=32, shorter_side=37, filter="bicubic"),
            Scope(min_side=10, max_side=None, description="any"),
        ),
        with_geometry(
            served_bundle,
            tmp_path,
            "crops",
            Crops(height=32, width=32, most=7, top_share=0.4),
            Scope(min_side=16, max_side=300, description="small"),
            Calibration(real=groups),
        ),
    )
    page = visit(host(*bundles))
    files = {
        f"{width}x{height}.png": encoded(drawn(width, height, seed), "PNG")
        for seed, (width, height) in enumerate(
            [(16, 16), (16, 90), (31, 33), (64, 64), (97, 150), (250, 40), (301, 77), (11, 400), (20, 10), (9, 30)]
        )
    }
    assert assert_alike(page, Detector(bundles=bundles, evidence=False), files) == 9


FILTERS = {
    "nearest": Resampling.NEAREST,
    "bilinear": Resampling.BILINEAR,
    "bicubic": Resampling.BICUBIC,
    "lanczos": Resampling.LANCZOS,
}


def test_every_filter_is_pillows_bit_for_bit(
    visit: Callable[..., "Page"], host: Callable[..., Site], served_bundle: Path
) -> None:
    page = visit(host(served_bundle))
    resize = """async ([width, height, pixels, across, down, filter]) => {
        const { resize } = await import(new URL("static/resample.js", document.baseURI));
        return Array.from(resize({ width, height, pixels: Uint8Array.from(pixels) }, across, down, filter).pixels);
    }"""
    sizes = [(40, 30, 32, 32), (7, 5, 32, 32), (32, 64, 32, 20), (113, 59, 16, 81), (1, 9, 8, 8)]
    for seed, (width, height, across, down) in enumerate(sizes):
        # Black and white noise takes the filters furthest beyond what a byte holds.
        pixels = np.random.default_rng(seed).integers(0, 2, (height, width, 3), np.uint8) * 255
        for name, filter in FILTERS.items():
            wanted = np.asarray(Image.fromarray(pixels).resize((across, down), filter))
            found = page.evaluate(resize, [width, height, pixels.ravel().tolist(), across, down, name])
            assert found == wanted.ravel().tolist(), (name, width, height)


def test_it_works_without_a_network_after_the_first_visit(
    visit: Callable[..., "Page"], served_bundle: Path, tmp_path: Path
) -> None:
    write_page(tmp_path / "site", Panel.open([served_bundle]))
    with hosting(tmp_path / "site") as site:
        page = visit(site)
        page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    # The host is gone.
    page.reload()
    page.locator("#board").wait_for()
    assert page.evaluate("crossOriginIsolated"), "Threads need that."
    files = many([(32, 32)])
    assert assert_alike(page, Detector(served_bundle, evidence=False), files) == len(files)
    page.locator("#clear").click()
    pytest.importorskip("c2pa")
    fox = {"fox.jpg": (ROOT / "docs" / "photographs" / "fox.jpg").read_bytes()}
    assert assert_alike(page, Detector(served_bundle), fox) == 0
    expect(page.locator("#cards .stamp")).to_have_text("AI")


def test_content_credentials_count_as_in_python(
    visit: Callable[..., "Page"], host: Callable[..., Site], served_bundle: Path
) -> None:
    pytest.importorskip("c2pa")
    pytest.importorskip("cryptography")
    white, black = (encoded(Image.new("RGB", (32, 32), colour), "JPEG") for colour in ("white", "black"))
    golden = ROOT / "tests" / "evidence" / "credentials"
    place = served_bundle.parent / "authority.pem"
    place.write_bytes(make_authority("Test Authority")[0])
    trust = load_trust(["c2pa", place, golden / "expired.pem"])
    captured = sign(white, source_type="digitalCapture", complete=True)
    made = sign(black, source_type="trainedAlgorithmicMedia", program="Adobe Firefly")
    files = {
        "none.jpg": black,
        "captured.jpg": captured,
        "made.jpg": made,
        "made.png": sign(encoded(drawn(32, 32, 1), "PNG"), mime="image/png", source_type="compositeSynthetic"),
        "made.webp": sign(
            encoded(drawn(90, 40, 1), "WEBP"), mime="image/webp", listed=[{"action": "com.generative_fill"}]
        ),
        "opened.jpg": sign(white, action="c2pa.opened", complete=True, ingredients=(("parentOf", captured),)),
        "edited.jpg": sign(white, source_type="digitalCapture", more=(("c2pa.edited", None), ("c2pa.placed", "print"))),
        "part.jpg": sign(black, action="c2pa.opened", ingredients=(("componentOf", made), ("parentOf", captured))),
        "broken-part.jpg": sign(black, action="c2pa.opened", ingredients=(("parentOf", made[:-2] + b"..\xff\xd9"),)),
        "stranger.jpg": sign(black, source_type="trainedAlgorithmicMedia", authority="Stranger"),
        "changed.jpg": made[:-2] + b"..\xff\xd9",
        "elsewhere.jpg": sign(black, source_type="digitalCapture", remote_url="https://example.org/manifest"),
        **{name: (golden / name).read_bytes() for name in ("expired.jpg", "stamped.jpg")},
    }
    detector = Detector(served_bundle, trust=trust)
    decided = {name: detector.detect(content) for name, content in files.items()}
    assert {name for name, found in decided.items() if found.reason == "pixels"} == {
        "none.jpg", "edited.jpg", "elsewhere.jpg"
    }  # fmt: skip
    assert {name for name, found in decided.items() if found.verdict == "real" and found.reason == "verified"} == {
        "captured.jpg", "opened.jpg"
    }  # fmt: skip
    page = visit(host(served_bundle, trust=trust))
    library = list[str]()
    page.on("request", lambda request: "/c2pa/" in request.url and library.append(request.url))
    assert_alike(page, detector, {"none.jpg": black})
    assert library == [], "It is loaded for the first file with credentials."
    page.locator("#clear").evaluate("button => button.click()")
    assert_alike(page, detector, files)
    assert library
    page.locator("#clear").click()
    # Of what cannot be read, the reason is in the words of either library.
    damaged = made.replace(b"jumdc2cl", b"jumdxxxx")
    wanted, found = detector.detect(damaged), judge(page, {"damaged.jpg": damaged})["damaged.jpg"]
    assert (found["verdict"], found["reason"]) == (wanted.verdict, wanted.reason) == ("ai", "asserted")
    assert found["explanation"].startswith("The file's content credentials could not be read: ")
    assert found["explanation"].partition(". ")[2] == wanted.explanation.partition(". ")[2] != ""


@pytest.mark.real_data
@pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"{FIXTURES} is not there")
def test_the_c2pa_projects_own_files_get_the_same_verdicts(
    visit: Callable[..., "Page"], host: Callable[..., Site], served_bundle: Path
) -> None:
    pytest.importorskip("c2pa")
    files = {path.name: path.read_bytes() for path in sorted((FIXTURES / "credentials").iterdir())}
    assert len(files) > 20
    assert_alike(visit(host(served_bundle)), Detector(served_bundle), files)


def test_it_says_what_it_does_not_read(
    visit: Callable[..., "Page"], host: Callable[..., Site], served_bundle: Path
) -> None:
    page = visit(host(served_bundle))
    expect(page.locator("#zone-note")).to_contain_text(
        "They stay on this device. Their pixels and metadata are judged."
    )
    expect(page.locator("#zone-note")).to_contain_text("Watermarks and texts hidden in the pixels, which can outweigh")
    expect(page.locator("body")).not_to_contain_text("this server")
    judge(page, {"a.png": encoded(drawn(32, 32, 1), "PNG")})
    card = page.locator("#cards > li")
    expect(card.locator(".missing")).to_contain_text(
        "Watermarks and texts hidden in the pixels, which can outweigh the score"
    )
    expect(card.locator(".missing")).to_contain_text("are not: pyrite detect reads them.")
    expect(card.locator(".explain")).to_have_count(2)
    expect(card.locator(".explain:visible")).to_have_count(0)
    page.locator("#clear").evaluate("button => button.click()")
    judge(page, {"b.png": encoded(drawn(200, 300, 1), "PNG")})
    expect(card).to_contain_text("names no origin. What is hidden in its pixels is not read here.")


def test_what_cannot_be_read_says_so_and_fails_nothing_else(
    visit: Callable[..., "Page"], host: Callable[..., Site], served_bundle: Path
) -> None:
    good = encoded(drawn(32, 32, 1), "PNG")
    files = {
        "good.png": good,
        "cut.png": good[: len(good) // 2],
        "cut.jpg": encoded(drawn(32, 32, 1), "JPEG")[:-40],
        "empty.png": b"",
        "words.png": b"no image",
        "page.tiff": encoded(drawn(32, 32, 1), "TIFF"),
    }
    found = judge(visit(host(served_bundle)), files)
    assert {name: one["error"] and one["error"]["code"] for name, one in found.items()} == {
        "good.png": None,
        "cut.png": "corrupt",
        "cut.jpg": "corrupt",
        "empty.png": "empty",
        "words.png": "unsupported_format",
        "page.tiff": "unsupported_format",
    }
    assert "cannot decode this image in TIFF" in found["page.tiff"]["explanation"]


def test_a_browser_that_gets_other_scores_judges_nothing(
    visit: Callable[..., "Page"], host: Callable[..., Site], served_bundle: Path
) -> None:
    def change(folder: Path) -> None:
        spec = json.loads((folder / "v1/bundles.json").read_text())
        spec["bundles"][0]["golden"]["vectors"][0]["logit"] += 0.01
        (folder / "v1/bundles.json").write_text(json.dumps(spec))

    found = judge(visit(host(served_bundle, change=change)), {"a.png": encoded(drawn(32, 32, 1), "PNG")})
    assert "does not get the scores that the bundle brightness had" in found["a.png"]["explanation"]
    assert found["a.png"]["verdict"] == "uncertain"
    assert found["a.png"]["logit"] is None


def test_the_bundle_that_comes_with_pyrite_judges_its_own_images(
    visit: Callable[..., "Page"], host: Callable[..., Site]
) -> None:
    """With the features and statistics that tell what is foreign to it."""
    detector = Detector(evidence=False)
    page = visit(host(*detector.bundles))
    page.get_by_role("button", name="Try sample images").click()
    expect(page.locator("#cards > li")).to_have_count(10, timeout=180_000)
    expect(page.locator("#cards > li.pending")).to_have_count(0, timeout=180_000)
    names = page.locator("#cards .name").all_inner_texts()
    outcomes = [element.inner_text().lower() for element in page.locator("#cards .stamp").all()]
    assert [name.partition("-")[2] for name in names] == [f"{outcome}.png" for outcome in outcomes]
    page.locator("#clear").click()
    assert assert_alike(page, detector, many([(32, 32)])) > 0


def test_it_reduces_wide_features_as_python_does(
    visit: Callable[..., "Page"], host: Callable[..., Site], tmp_path: Path
) -> None:
    own = load_bundle(DEFAULT)
    novelty = read_novelty(own.read(NOVELTY), own.info.name)
    assert novelty.features
    assert novelty.neighbours is not None
    assert novelty.projection is not None
    # Every other component, of which nothing else changes: the neighbours and Gaussians are of fewer numbers.
    half = np.eye(novelty.neighbours.shape[1], dtype=np.float32)[:, ::2].copy()
    reduced = replace(
        novelty,
        projection=novelty.projection @ half,
        features=Gaussians(novelty.features.means @ half, half.T @ novelty.features.whitening @ half),
        neighbours=unit(novelty.neighbours @ half),
    )
    files = {name: own.files[name] for name in own.files if name != NOVELTY}
    bundle = save_bundle(tmp_path / "reduced", own.info, {**files, NOVELTY: write_novelty(reduced)})
    assert assert_alike(visit(host(bundle)), Detector(bundle, evidence=False), many([(32, 32)])) > 0


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.skipif(not CIFAKE.is_file(), reason="needs cifake.zip")
def test_200_images_get_the_same_p_values_and_verdicts(visit: Callable[..., "Page"], host: Callable[..., Site]) -> None:
    with zipfile.ZipFile(CIFAKE) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("test/") and name.endswith(".jpg"))
        chosen = np.random.default_rng(0).choice(names, 145, replace=False)
        files = {name.replace("/", "-"): archive.read(name) for name in chosen}
    files |= many([(32, 32), (32, 32), (33, 32), (300, 200), (640, 480)])
    detector = Detector(evidence=False)
    assert len(files) == 200
    assert assert_alike(visit(host(*detector.bundles)), detector, files) > 140


def test_what_no_browser_does_in_the_same_way_is_refused(
    other_bundle: Path, served_bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(PyriteError, match=r"other takes images so large that Pyrite decodes them at a half .* differ"):
        write_page(tmp_path / "site", Panel.open([other_bundle]))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "mine.txt").touch()
    with pytest.raises(PyriteError, match="already exists"):
        write_page(tmp_path / "site", Panel.open([served_bundle]))


def test_the_policy_of_a_page_is_what_it_was_made_with(served_bundle: Path, tmp_path: Path) -> None:
    panel = Panel.open([served_bundle])
    write_page(tmp_path / "site", panel, max_fpr=0.02)
    spec = json.loads((tmp_path / "site/v1/bundles.json").read_text())
    assert msgspec.convert(spec["policy"], Policy) == Detector(panel, max_fpr=0.02).policy
    assert json.loads((tmp_path / "site/v1/limits.json").read_text())["max_fpr"]["default"] == 0.02
