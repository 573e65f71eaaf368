"""The page without a server: a folder of static files, with which the browser itself judges."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from pyrite.bundle import NOVELTY, Bundle, Panel, Resize
from pyrite.bundle.bundle import MODEL, WEIGHTS
from pyrite.detector import Detector
from pyrite.errors import BundleError, PyriteError
from pyrite.evidence import TRUST_NOTES, Trust, credential_rules, metadata_rules
from pyrite.serving.app import STATIC
from pyrite.serving.cards import bounds_of, examples_of, model_card
from pyrite.serving.settings import ServerSettings
from pyrite.serving.web_credentials import read_library
from pyrite.serving.web_metadata import read_parsers
from pyrite.serving.web_runtime import read_runtime
from pyrite.writing import whole_folder

BROWSER = Path(__file__).parent / "browser"
"""What judges in the browser; some of it stands in for modules of the page of a server, by their names."""
LARGE = 16_000_000
"""Bytes of a model from which the page also brings what it takes to run on the graphics processor."""
_INT8 = (b"QuantizeLinear", b"MatMulInteger", b"ConvInteger")
"""Parts of the names of operations in models that compute in int8."""
MAX_MODEL = 2_000_000_000
"""Bytes of a model: about what a browser can hold in one piece."""

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "style-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'"
)
"""The page's Content-Security-Policy: it reaches nothing but its own files."""

_CHANGES = (
    (
        '<meta charset="utf-8">\n',
        f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="referrer" content="no-referrer">\n',
    ),
    ('    <a href="docs">API</a>\n', ""),
    (
        "They go to this server and nowhere else, and it keeps none.",
        "They stay on this device. Their pixels and metadata are judged. Watermarks and texts hidden in the pixels, "
        "which can outweigh the score, are not read.",
    ),
    (
        "On the machine that runs this server, run <code>pyrite bundle import photos</code>, then start "
        "<code>pyrite serve --bundle photos</code>.",
        "To build this page for photographs, run <code>pyrite bundle import photos</code>, then "
        "<code>pyrite page --bundle photos --out site</code>.",
    ),
)
"""What the page says otherwise where there is no server, in its HTML."""


def write_page(
    out: Path,
    panel: Panel,
    *,
    runtime: Path | None = None,
    credentials: Path | None = None,
    metadata: Path | None = None,
    xml: Path | None = None,
    trust: Trust | None = None,
    max_fpr: float | None = None,
    allow_real: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write the page of `pyrite serve` as a folder for any static host, all of it or nothing; return its bytes.

    Args:
        out: Must not exist yet, or be an empty folder.
        panel: What judges. The browser has its bundles.
        runtime: The package onnxruntime-web, a .tgz or a folder; by default it is fetched. See `read_runtime`.
        credentials: The package @contentauth/c2pa-wasm, in the same way. See `read_library`.
        metadata: The package exifreader, in the same way. See `read_parsers`.
        xml: The package sax, in the same way.
        trust: Whose signatures count as verified; by default, the lists that come with Pyrite.
        max_fpr: As `Detector` has it.
        allow_real: As `Detector` has it.
        progress: Told how many bytes of a download are here, and how many there are.

    Raises:
        BundleError: No browser could judge by such a bundle as Pyrite does.
        PyriteError: The folder is not empty or cannot be written, or a package cannot be had.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise PyriteError(f"{out} already exists. Choose a new folder, or remove it first.")
    _check(panel)
    detector = Detector(panel, max_fpr=max_fpr, allow_real=allow_real, threads=1, device="cpu")
    gpu = any(map(_suits_gpu, panel.bundles))
    files = {
        **_page_files(),
        "index.html": _index(),
        "v1/model.json": model_card(detector),
        "v1/limits.json": bounds_of(ServerSettings(), detector),
        "v1/examples.json": examples_of(detector),
        "v1/bundles.json": _bundles(detector, gpu),
        "v1/credentials.json": msgspec.json.encode(credential_rules(Trust.default() if trust is None else trust)),
        "v1/metadata.json": msgspec.json.encode(metadata_rules()),
        **{
            # Not every host knows that .mjs is JavaScript.
            f"runtime/{name.replace('.mjs', '.js')}": content
            for name, content in read_runtime(runtime, gpu=gpu, progress=progress).items()
        },
        **{f"c2pa/{name}": content for name, content in read_library(credentials, progress=progress).items()},
        **{f"metadata/{name}": content for name, content in read_parsers(metadata, xml, progress=progress).items()},
    }
    for i, bundle in enumerate(panel.bundles):
        files |= {f"bundles/{i}/{name}": bundle.read(name) for name in (MODEL, NOVELTY) if name in bundle.info.files}
    files["sw.js"] = _service_worker(files)
    try:
        with whole_folder(out) as draft:
            for name, content in files.items():
                place = draft / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
    except OSError as error:
        raise PyriteError(f"{out} cannot be written: {error.strerror or error}.") from error
    return sum(map(len, files.values()))


def _check(panel: Panel) -> None:
    """Refuse what a browser could not judge by, or not in the same way."""
    if panel.calibration is not None:
        raise BundleError("The page without a server takes bundles, and no panel that was calibrated as one.")
    for bundle in panel.bundles:
        info, size = bundle.info, bundle.info.preprocess
        if WEIGHTS in info.files or bundle.model_size > MAX_MODEL:
            raise BundleError(f"The model of {info.name} is too large for a browser: more than 2 GB, or in two files.")
        # From twice the margin on, Pyrite decodes an image smaller than it is, as no browser does.
        longest = info.scope.max_side
        if isinstance(size, Resize) and size.draft and (longest is None or longest >= 16 * max(size.size)):
            raise BundleError(
                f"{info.name} takes images so large that Pyrite decodes them at a half of their size or less "
                "(`draft` in its preprocess). Browsers do not, so that their scores would differ."
            )


def _suits_gpu(bundle: Bundle) -> bool:
    """Say whether a graphics processor would help: with a large model, unless it computes in int8."""
    return bundle.model_size >= LARGE and not any(name in bundle.read(MODEL) for name in _INT8)


def _page_files() -> dict[str, bytes]:
    """Return the modules of the page, with those for the browser in place of the server's."""
    own = {path.name: path.read_bytes() for path in STATIC.iterdir() if path.is_file() and path.name != "index.html"}
    own |= {path.name: path.read_bytes() for path in BROWSER.glob("*.js") if path.name != "sw.js"}
    return {f"static/{name}": own[name] for name in sorted(own)} | {
        "runtime/LICENSE": (BROWSER / "LICENSE-onnxruntime-web").read_bytes(),
        "c2pa/LICENSE": (BROWSER / "LICENSE-c2pa-wasm").read_bytes(),
        "c2pa/TRUST-LISTS.md": TRUST_NOTES.read_bytes(),
        "metadata/LICENSE-exifreader": (BROWSER / "LICENSE-exifreader").read_bytes(),
        "metadata/LICENSE-sax": (BROWSER / "LICENSE-sax").read_bytes(),
    }


def _index() -> bytes:
    html = (STATIC / "index.html").read_text("utf-8")
    for ours, theirs in _CHANGES:
        assert html.count(ours) == 1, ours
        html = html.replace(ours, theirs)
    return html.encode()


def _bundles(detector: Detector, gpu: bool) -> bytes:
    """Return what a browser needs to know to judge by the bundles, beside their files."""
    panel = detector.panel
    content = {
        "gpu": gpu,
        "model": detector.model,
        "policy": detector.policy,
        "shares": {"real": panel.share_counts(ai=False), "ai": panel.share_counts(ai=True)},
        "bundles": [_describe(bundle) for bundle in panel.bundles],
    }
    return msgspec.json.encode(content)


def _describe(bundle: Bundle) -> dict[str, Any]:
    info = bundle.info
    return {
        "name": info.name,
        "version": info.version,
        "scope": info.scope,
        "sizes": info.scope.sizes,
        "knows": info.knows,
        "preprocess": info.preprocess,
        "calibration": info.calibration,
        "one_by_one": info.one_by_one,
        "threshold": info.origin.threshold if info.origin else None,
        "novelty": NOVELTY in info.files,
        "golden": msgspec.Raw(bundle.read("golden.json")),
    }


def _service_worker(files: Mapping[str, bytes]) -> bytes:
    """Return the script that keeps all files, with a version that changes with any of them."""
    script = (BROWSER / "sw.js").read_text("utf-8").replace('"{{policy}}"', _text(POLICY))
    version = hashlib.sha256(script.encode())
    for name, content in files.items():
        version.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    script = script.replace('"{{version}}"', _text(version.hexdigest()[:16]))
    return script.replace('"{{files}}"', _text(sorted(_addresses(files)))).encode()


def _text(value: str | list[str]) -> str:
    return msgspec.json.encode(value).decode()


def _addresses(files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield where files are, as seen from the page. What runs on a graphics processor is kept once it was asked for."""
    for name in files:
        if name == "index.html":
            yield "./"
        elif not name.startswith(("runtime/ort.webgpu", "runtime/ort-wasm-simd-threaded.asyncify")):
            yield name
