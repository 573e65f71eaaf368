"""A server with a small bundle, and Debian's browser to look at its page."""

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from ports import free_ports
from pyrite.bundle import Bundle, BundleInfo, Panel, load_bundle, save_bundle
from pyrite.bundle.calibration import Calibration
from pyrite.decision import Scope
from pyrite.errors import PyriteError
from pyrite.evidence import Trust
from pyrite.golden import make_golden
from pyrite.serving import write_page
from pyrite.serving.web_credentials import read_library
from pyrite.serving.web_metadata import read_parsers
from pyrite.serving.web_runtime import read_runtime
from waiting import eventually, processes_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from static_site import Site


def _build_model(checks: float = 3.0) -> bytes:
    """Return an ONNX model that sees AI in bright images, and in a chessboard of pixels at the top left."""
    from onnx import TensorProto, helper, numpy_helper

    light = np.indices((8, 8)).sum(0) % 2 == 0
    weights = np.full((32, 32, 3), 0.1 / (32 * 32 * 3), np.float32)
    weights[:8, :8] += np.where(light, 1, -1)[..., None] * checks / (8 * 8 * 3 * 75)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["float", "weights"], ["weighed"]),
            helper.make_node("ReduceSum", ["weighed", "axes"], ["sum"], keepdims=0),
            helper.make_node("Add", ["sum", "offset"], ["logit"]),
        ],
        "brightness",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ("N", 32, 32, 3))],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ("N",))],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([1, 2, 3], np.int64), "axes"),
            numpy_helper.from_array(np.float32(-12.75), "offset"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture(scope="session")
def served_bundle(extra: None, info: BundleInfo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mean brightness of 127.5 gives a logit of 0, and each step of 10 more gives 1 more."""
    model = _build_model()
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    files = {"model.onnx": model, "golden.json": make_golden(info, model, list(images)), "card.md": b"# Card\n"}
    folder: Path = tmp_path_factory.mktemp("served") / "brightness"
    save_bundle(folder, info, files)
    return folder


@pytest.fixture(scope="session")
def mixed_bundle(served_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model, whose classes overlap, so that every budget draws another line."""
    bundle = load_bundle(served_bundle)
    calibration = msgspec.structs.replace(
        bundle.info.calibration, ai={"all": tuple(round(logit - 3, 1) for logit in bundle.info.calibration.ai["all"])}
    )
    info = msgspec.structs.replace(bundle.info, calibration=calibration)
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    model = bundle.read("model.onnx")
    files = {"model.onnx": model, "golden.json": make_golden(info, model, list(images)), "card.md": b"# Card\n"}
    folder: Path = tmp_path_factory.mktemp("served") / "mixed"
    save_bundle(folder, info, files)
    return folder


@pytest.fixture(scope="session")
def other_bundle(served_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model, made for all larger images as well, and calibrated with real images in two groups alone."""
    bundle = load_bundle(served_bundle)
    info = msgspec.structs.replace(
        bundle.info,
        name="other",
        scope=Scope(min_side=16, max_side=None, description="any images"),
        calibration=Calibration(
            real={"a": bundle.info.calibration.real["all"], "b": tuple(i / 10 for i in range(-150, -30))}
        ),
    )
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8)
    model = bundle.read("model.onnx")
    files = {"model.onnx": model, "golden.json": make_golden(info, model, list(images)), "card.md": b"# Other card\n"}
    folder: Path = tmp_path_factory.mktemp("served") / "other"
    save_bundle(folder, info, files)
    return folder


@dataclass(frozen=True)
class Served:
    """A running server."""

    url: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Stop it as a power cut would."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _start(bundles: Sequence[Path], port: int, **settings: object) -> Served:
    changes = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    command = [sys.executable, "-c", "from pyrite.cli import main; main()", "serve", "--port", str(port), *changes]
    judging = [part for bundle in bundles for part in ("--bundle", str(bundle))]
    process = subprocess.Popen([*command, *judging], start_new_session=True)
    served = Served(f"http://127.0.0.1:{port}/", process)

    def ready() -> bool:
        assert process.poll() is None, "The server did not start."
        with suppress(OSError), urllib.request.urlopen(f"{served.url}readyz") as answer:
            return bool(answer.status == 200)
        return False

    try:
        assert eventually(ready, lambda: processes_of(process)), "The server does not become ready."
    except BaseException:
        served.stop()
        raise
    return served


@pytest.fixture
def start(served_bundle: Path) -> Iterator[Callable[..., Served]]:
    """Start a server, at a port and with bundles where that matters; all are stopped in the end."""
    started: list[Served] = []

    def run(port: int | None = None, bundles: Sequence[Path] = (), **settings: object) -> Served:
        started.append(_start(bundles or [served_bundle], port or free_ports()[0], **settings))
        return started[-1]

    yield run
    for served in started:
        served.stop()


@pytest.fixture(scope="session")
def server(served_bundle: Path) -> Iterator[Served]:
    """One for all tests that leave it running."""
    served = _start([served_bundle], free_ports()[0])
    yield served
    served.stop()


# Not for the whole session: its event loop would be in the way of other tests' own.
@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed.")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("There is no Chromium. On Debian: apt-get install chromium")
    # In a container, where one is root, Chromium has no sandbox of its own.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def visiting(chromium: "Browser") -> Callable[[], AbstractContextManager[Callable[..., "Page"]]]:
    """Give what opens a server's page; in the end, none of them may have broken a rule.

    The rules: no error in a script, nothing that the policy forbids, and no request to anywhere else.
    """

    @contextmanager
    def visiting() -> Iterator[Callable[..., "Page"]]:
        broken: list[str] = []
        contexts = []

        def run(served: Served, *, ready: str = "#board", **options: Any) -> "Page":
            context = chromium.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
            contexts.append(context)
            context.set_default_timeout(60_000)
            page = context.new_page()
            page.on("pageerror", lambda error: broken.append(f"error: {error}"))
            # A request that fails is told there as well, and is the business of each test.
            page.on(
                "console",
                lambda said: (
                    said.type in ("error", "warning")
                    and not said.text.startswith("Failed to load")
                    and broken.append(said.text)
                ),
            )
            page.on(
                "request", lambda request: request.url.startswith((served.url, "blob:")) or broken.append(request.url)
            )
            page.goto(served.url)
            page.locator(ready).wait_for()
            return page

        yield run
        for context in contexts:
            context.close()
        assert broken == []

    return visiting


@pytest.fixture
def visit(visiting: Callable[[], AbstractContextManager[Callable[..., "Page"]]]) -> Iterator[Callable[..., "Page"]]:
    with visiting() as visit:
        yield visit


@pytest.fixture
def page(visit: Callable[..., "Page"], server: Served) -> "Page":
    """The page at desktop size."""
    return visit(server)


@pytest.fixture(scope="session")
def runtime() -> None:
    """What the page takes from npm, fetched once into the session's cache; the tests skip without a network."""
    try:
        read_runtime()
        read_library()
        read_parsers()
    except PyriteError as error:
        if "cannot be fetched" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture
def host(runtime: None, tmp_path: Path) -> Iterator[Callable[..., "Site"]]:
    """Write the page without a server with bundles, change it where a test wants that, and serve it."""
    from static_site import hosting

    with ExitStack() as held:

        def run(
            *bundles: Bundle | Path,
            trust: Trust | None = None,
            change: Callable[[Path], None] = lambda folder: None,
        ) -> "Site":
            write_page(tmp_path / "site", Panel.open(bundles), trust=trust)
            change(tmp_path / "site")
            return held.enter_context(hosting(tmp_path / "site"))

        yield run
