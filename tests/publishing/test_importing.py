"""Published models as bundles: what their files say, what must be declared, and that the answers stay the same."""

import hashlib
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from hub import COMMIT, hub, run
from pyrite.bundle import Crops, ModelOrigin, Resize, ShorterSide, load_bundle
from pyrite.detector import Detector
from pyrite.errors import ExportError, PyriteError
from pyrite.golden import replay_golden
from pyrite.publishing import SCALES, Declared, import_source, read_catalogue
from pyrite.publishing.importing import import_model
from pyrite.results import Reason, Verdict
from pyrite.runtime import Session
from web import web
from weights import publish_vit
from wheel import serve_wheel

pytest.importorskip("onnx")
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (40, 56, 3), np.uint8)
RESIZED = Declared(geometry="resize", filter="bicubic", mean=SCALES["imagenet"][0], std=SCALES["imagenet"][1])
DECLARED = msgspec.structs.replace(RESIZED, ai=(0,))


def network(
    path: Path,
    *,
    layout: str = "nchw",
    classes: int = 2,
    last: str | None = None,
    batch: int | str = "N",
    side: int | str = 16,
    half: bool = False,
    opset: int = 17,
    inputs: int = 1,
) -> Callable[[np.ndarray], np.ndarray]:
    """Write a model: the mean of each colour, and a linear layer upon that. Return what it computes of its input."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kind, dtype = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    weights = np.random.default_rng(1).normal(size=(3, classes)).astype(dtype)
    shape = [batch, 3, side, side] if layout == "nchw" else [batch, side, side, 3]
    axes = [2, 3] if layout == "nchw" else [1, 2]
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=axes, keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["y" if last is None else "z"]),
    ]
    if last:
        nodes.append(helper.make_node(last, ["z"], ["y"], **({"axis": 1} if last == "Softmax" else {})))
    graph = helper.make_graph(
        nodes,
        "published",
        [helper.make_tensor_value_info(name, kind, shape) for name in ["x", "more"][:inputs]],
        [helper.make_tensor_value_info("y", kind, [batch, classes])],
        [numpy_helper.from_array(weights, "weights")],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)

    def compute(values: np.ndarray) -> np.ndarray:
        z = values.astype(np.float64).mean(axis=(0, 1)) @ weights.astype(np.float64)
        if last == "Sigmoid":
            return 1 / (1 + np.exp(-z))
        return np.exp(z) / np.exp(z).sum() if last == "Softmax" else z

    return compute


def logit_of(bundle: Path) -> float:
    found = Detector(load_bundle(bundle), evidence=False).detect(IMAGE)
    assert found.logit is not None
    return found.logit


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize(
    ("classes", "last", "ai", "real"),
    [
        (2, None, (1,), (0,)),
        (2, "Softmax", (0,), (1,)),
        (1, None, (0,), None),
        (1, "Sigmoid", None, (0,)),
        (5, None, (1, 3), (0,)),
        (5, "Softmax", (1, 3), (0, 4)),
    ],
)
def test_the_bundle_says_what_the_original_says(
    layout: str, channels: str, classes: int, last: str | None, ai: Any, real: Any, tmp_path: Path
) -> None:
    compute = network(tmp_path / "model.onnx", layout=layout, classes=classes, last=last)
    declared = Declared(**{**as_dict(RESIZED), "channels": channels, "ai": ai, "real": real, "bias": 0.25})
    found = import_source(str(tmp_path / "model.onnx"), tmp_path / "out", declared)
    assert found.parity <= 1e-4
    pixels = Resize(height=16, width=16, filter="bicubic").apply(IMAGE)[0].astype(np.float64) / 255
    pixels = pixels[..., ::-1] if channels == "bgr" else pixels
    y = compute((pixels - np.array(SCALES["imagenet"][0])) / np.array(SCALES["imagenet"][1]))
    if last == "Sigmoid":
        expected = -np.log(y[0] / (1 - y[0]))
    elif classes == 1:
        expected = y[0]
    elif last:
        expected = np.log(y[list(ai)].sum() / y[list(real)].sum())
    else:
        expected = np.logaddexp.reduce(y[list(ai)]) - np.logaddexp.reduce(y[list(real)])
    assert logit_of(tmp_path / "out") == pytest.approx(expected + 0.25, abs=1e-4)
    assert replay_golden(load_bundle(tmp_path / "out")).passed


def test_a_linear_layer_goes_upon_an_encoder(tmp_path: Path) -> None:
    compute = network(tmp_path / "model.onnx", classes=4)
    weights, bias = (0.5, -1.0, 2.0, 0.25), 0.125
    found = import_model(
        tmp_path / "model.onnx",
        tmp_path / "out",
        RESIZED,
        name="probe",
        licence="MIT",
        origin=ModelOrigin(source="here", sha256=""),
        head=(weights, bias),
    )
    pixels = Resize(height=16, width=16, filter="bicubic").apply(IMAGE)[0].astype(np.float64) / 255
    y = compute((pixels - np.array(SCALES["imagenet"][0])) / np.array(SCALES["imagenet"][1]))
    assert logit_of(tmp_path / "out") == pytest.approx(y / np.linalg.norm(y) @ np.array(weights) + bias, abs=1e-4)
    assert found.parity is not None
    assert found.parity <= 1e-4


def as_dict(declared: Declared) -> dict[str, Any]:
    return {name: getattr(declared, name) for name in declared.__struct_fields__}


@pytest.mark.parametrize("opset", [7, 11, 17])
@pytest.mark.parametrize("more", [{"batch": 1}, {"half": True}, {}])
def test_fixed_batches_half_precision_and_opsets(opset: int, more: dict[str, Any], tmp_path: Path) -> None:
    network(tmp_path / "model.onnx", opset=opset, **more)
    declared = Declared(**{**as_dict(RESIZED), "ai": (1,)})
    found = import_source(str(tmp_path / "model.onnx"), tmp_path / "out", declared)
    assert found.parity <= (2e-3 if more.get("half") else 1e-4)
    assert Detector(found.bundle).detect(IMAGE).logit is not None


@pytest.mark.parametrize("opset", [7, 13])
def test_probabilities_of_an_old_opset(opset: int, tmp_path: Path) -> None:
    network(tmp_path / "model.onnx", classes=5, last="Softmax", opset=opset)
    declared = msgspec.structs.replace(RESIZED, ai=(1, 3), real=(0, 4))
    found = import_source(str(tmp_path / "model.onnx"), tmp_path / "out", declared)
    assert found.parity is not None
    assert found.parity <= 1e-4


def test_it_says_uncertain_and_where_it_came_from(tmp_path: Path) -> None:
    network(tmp_path / "model.onnx")
    declared = Declared(**{**as_dict(RESIZED), "ai": (1,), "threshold": 0.5, "min_side": 32})
    found = import_source(str(tmp_path / "model.onnx"), tmp_path / "out", declared, name="mine", licence="MIT")
    info = found.bundle.info
    assert info.origin
    assert info.origin.source == "model.onnx"
    assert info.origin.sha256 == hashlib.sha256((tmp_path / "model.onnx").read_bytes()).hexdigest()
    assert (info.name, info.licence, info.scope.min_side, info.scope.max_side) == ("mine", "MIT", 32, None)
    assert info.policy.real_needs_provenance
    said = Detector(found.bundle).detect(IMAGE)
    assert (said.verdict, said.reason) == (Verdict.UNCERTAIN, Reason.UNCALIBRATED)
    assert "Its authors call an image AI above a score of 0.5" in said.explanation
    assert "## What it is not for" in found.bundle.files["card.md"].decode()
    assert found.filter_effect
    assert found.bundle.info.origin


CONFIG = {"id2label": {"0": "artificial", "1": "human"}, "image_size": 16}
PREPARED = {
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.3, 0.4],
    "resample": 3,
    "size": {"height": 16, "width": 16},
    "rescale_factor": 1 / 255,
}


def publish(folder: Path, config: object = CONFIG, prepared: object = PREPARED, inner: str = "", **model: Any) -> Path:
    network(folder / inner / "model.onnx", **model)
    for name, content in (("config.json", config), ("preprocessor_config.json", prepared)):
        if content is not None:
            (folder / name).write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("inner", ["", "onnx"])
def test_a_folder_of_the_hub_says_all_of_it(inner: str, tmp_path: Path) -> None:
    folder = publish(tmp_path / "detector", inner=inner, side="S")
    found = import_source(str(folder), tmp_path / "out", Declared())
    info = found.bundle.info
    assert info.preprocess == Resize(height=16, width=16, filter="bicubic", draft=False)
    assert found.read["labels"] == "AI is artificial, from config.json"
    assert found.read["geometry"] == "resize, from preprocessor_config.json"
    pixels = (Resize(height=16, width=16, filter="bicubic").apply(IMAGE)[0] / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]
    y = network(tmp_path / "again.onnx")(pixels)
    assert logit_of(tmp_path / "out") == pytest.approx(y[0] - y[1], abs=1e-4)


@pytest.mark.parametrize(
    ("prepared", "geometry"),
    [
        ({"size": {"shortest_edge": 20}, "crop_size": {"height": 16, "width": 16}, "do_center_crop": True}, (20, 16)),
        ({"size": 16, "do_center_crop": True}, (16, 16)),
        ({"size": {"shortest_edge": 16}, "crop_size": 16}, (16, 16)),
        ({"size": 16, "crop_pct": 0.875}, (18, 16)),
        ({"size": {"shortest_edge": 16}, "crop_pct": 0.5}, (32, 16)),
    ],
)
def test_centre_crops_are_read(prepared: dict[str, Any], geometry: tuple[int, int], tmp_path: Path) -> None:
    folder = publish(tmp_path / "detector", prepared=PREPARED | prepared)
    found = import_source(str(folder), tmp_path / "out", Declared()).bundle.info.preprocess
    assert found == ShorterSide(shorter_side=geometry[0], height=geometry[1], width=geometry[1], filter="bicubic")


@pytest.mark.parametrize(
    ("prepared", "why"),
    [
        ({"do_resize": False}, "do_resize is false"),
        ({"size": {"height": 16, "width": 16}, "crop_pct": 0.9}, "crop_pct is 0.9"),
        ({"size": 16, "crop_pct": 2}, "crop_pct is 2"),
        ({"size": {"height": 20, "width": 20}, "crop_size": 16, "do_center_crop": True}, "the centre of 16 x 16"),
        ({"size": 20, "crop_size": 16, "do_center_crop": True}, "size is 20 and the centre of 16 x 16 is cropped"),
    ],
)
def test_what_no_geometry_does_has_to_be_declared(prepared: dict[str, Any], why: str, tmp_path: Path) -> None:
    folder = publish(tmp_path / "detector", prepared=PREPARED | prepared)
    with pytest.raises(ExportError, match=f"preprocessor_config.json: .*{why}.* Declare --geometry"):
        import_source(str(folder), tmp_path / "out", Declared())
    declared = Declared(geometry="resize")
    assert isinstance(import_source(str(folder), tmp_path / "out", declared).bundle.info.preprocess, Resize)


@pytest.mark.parametrize(
    ("config", "prepared"),
    [
        ({"id2label": ["ai", "real"]}, PREPARED),
        ({"id2label": {"LABEL_0": "ai"}}, PREPARED),
        (CONFIG, PREPARED | {"resample": [2]}),
        (CONFIG, PREPARED | {"rescale_factor": None}),
        (CONFIG, PREPARED | {"crop_pct": "most"}),
    ],
)
def test_files_that_say_something_else_are_refused(config: object, prepared: object, tmp_path: Path) -> None:
    folder = publish(tmp_path / "detector", config=config, prepared=prepared)
    with pytest.raises(ExportError, match=r"config\.json cannot be read: Expected"):
        import_source(str(folder), tmp_path / "out", Declared())


def test_a_size_of_three_numbers_is_refused(tmp_path: Path) -> None:
    folder = publish(tmp_path / "detector", side="S", prepared=PREPARED | {"size": [3, 16, 16]})
    with pytest.raises(ExportError, match=r"The graph takes images of any height\. Declare --size"):
        import_source(str(folder), tmp_path / "out", Declared())
    declared = Declared(height=16, width=16)
    assert import_source(str(folder), tmp_path / "out", declared).bundle.info.preprocess.size == (16, 16)


TIMM = {
    "input_size": [3, 16, 16],
    "interpolation": "bilinear",
    "crop_pct": 0.9,
    "crop_mode": "center",
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.4],
}


def test_what_timm_says_of_a_model_is_read(tmp_path: Path) -> None:
    config = {"architecture": "tiny", "label_names": ["generated", "photo"], "pretrained_cfg": TIMM}
    folder = publish(tmp_path / "detector", config=config, prepared=None)
    found = import_source(str(folder), tmp_path / "out", Declared())
    assert found.bundle.info.preprocess == ShorterSide(shorter_side=17, height=16, width=16, filter="bilinear")
    assert found.read["labels"] == "AI is generated, from config.json"
    squashed = config | {"pretrained_cfg": TIMM | {"crop_mode": "squash", "crop_pct": 1.0}}
    folder = publish(tmp_path / "squashed", config=squashed, prepared=None)
    found = import_source(str(folder), tmp_path / "other", Declared())
    assert found.bundle.info.preprocess == Resize(height=16, width=16, filter="bilinear", draft=False)
    for wrong, sentence in (
        (TIMM | {"crop_mode": "border"}, r"crop_mode border at 16x16 with crop_pct 0\.9, which no geometry here does"),
        (TIMM | {"interpolation": "random"}, "pretrained_cfg in config.json is not understood"),
        ({}, "pretrained_cfg in config.json is not understood: KeyError"),
    ):
        folder = publish(tmp_path / "wrong", config=config | {"pretrained_cfg": wrong}, prepared=None)
        with pytest.raises(ExportError, match=sentence):
            import_source(str(folder), tmp_path / "no", Declared())


def test_classes_are_declared_by_their_labels(tmp_path: Path) -> None:
    folder = publish(tmp_path / "detector", config={"id2label": {"0": "Cat", "1": "dog"}})
    found = import_source(str(folder), tmp_path / "out", Declared(ai=("cat",)))
    pixels = (Resize(height=16, width=16, filter="bicubic").apply(IMAGE)[0] / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.3, 0.4]
    y = network(tmp_path / "again.onnx")(pixels)
    assert logit_of(tmp_path / "out") == pytest.approx(y[0] - y[1], abs=1e-4)
    assert found.parity is not None
    with pytest.raises(ExportError, match=r"no output labelled horse\. It has: 0 = Cat, 1 = dog\."):
        import_source(str(folder), tmp_path / "no", Declared(real=("horse",)))


@pytest.mark.parametrize("classes", [1, 2, 5])
def test_what_the_last_layer_sees_is_given_too(classes: int, tmp_path: Path) -> None:
    network(tmp_path / "model.onnx", classes=classes)
    found = import_source(str(tmp_path / "model.onnx"), tmp_path / "out", DECLARED)
    inputs = Resize(height=16, width=16, filter="bicubic").apply(IMAGE)
    features = Session(found.bundle.model).score(inputs)[1]
    pixels = (inputs[0] / 255 - SCALES["imagenet"][0]) / SCALES["imagenet"][1]
    assert features == pytest.approx(pixels.mean(axis=(0, 1))[None], abs=1e-5)


@pytest.mark.parametrize("name", ["features", "logit", "image"])
def test_names_like_our_own_are_no_obstacle(name: str, tmp_path: Path) -> None:
    import onnx

    network(tmp_path / "model.onnx")
    expected = import_source(str(tmp_path / "model.onnx"), tmp_path / "expected", DECLARED)
    model = onnx.load(tmp_path / "model.onnx")
    if name == "image":
        model.graph.node[0].input[0] = model.graph.input[0].name = name
    else:
        model.graph.node[-1].output[0] = model.graph.output[0].name = name
    onnx.save(model, tmp_path / "model.onnx")
    found = import_source(str(tmp_path / "model.onnx"), tmp_path / "out", DECLARED)
    assert logit_of(tmp_path / "out") == logit_of(tmp_path / "expected")
    assert Session(found.bundle.model).has_features
    assert expected.parity == found.parity


def test_weights_beside_the_graph_stay_there_where_they_are_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    network(tmp_path / "model.onnx", classes=200)  # Of 2,400 bytes: smaller ones stay in the graph.
    expected = import_source(str(tmp_path / "model.onnx"), tmp_path / "small", DECLARED)
    model = onnx.load(tmp_path / "model.onnx")
    (tmp_path / "apart").mkdir()
    onnx.save_model(model, tmp_path / "apart" / "model.onnx", save_as_external_data=True, location="weights")
    found = import_source(str(tmp_path / "apart"), tmp_path / "taken in", DECLARED)
    assert (sorted(found.bundle.info.files), found.parity) == (sorted(expected.bundle.info.files), expected.parity)
    monkeypatch.setattr("pyrite.graph.surgery.LARGE", 10)
    found = import_source(str(tmp_path / "apart"), tmp_path / "large", DECLARED)
    assert "model.onnx.data" in found.bundle.info.files
    assert replay_golden(load_bundle(tmp_path / "large")).passed
    assert logit_of(tmp_path / "large") == logit_of(tmp_path / "small")
    (tmp_path / "apart" / "weights").unlink()
    with pytest.raises(ExportError, match="cannot be read as ONNX"):
        import_source(str(tmp_path / "apart"), tmp_path / "no", DECLARED)


def test_crops_are_declared(tmp_path: Path) -> None:
    network(tmp_path / "model.onnx")
    declared = Declared(geometry="crops", mean=(0, 0, 0), std=(1, 1, 1), ai=(1,), most=5, top_share=0.0)
    found = import_source(str(tmp_path / "model.onnx"), tmp_path / "out", declared)
    assert found.bundle.info.preprocess == Crops(height=16, width=16, most=5, top_share=0.0)
    assert found.filter_effect is None


@pytest.mark.parametrize(
    ("model", "change", "sentence"),
    [
        ({}, {"mean": None, "std": None}, r"Declare --scale imagenet, clip, half, unit or none"),
        ({}, {"std": None}, "go together"),
        ({}, {"geometry": None}, "Declare --geometry: resize squeezes all of it"),
        ({}, {"filter": None}, "Declare --filter"),
        ({"side": "S"}, {}, "Declare --size"),
        ({"side": "S", "layout": "nhwc"}, {"height": 8}, "Declare --size"),
        ({}, {"height": 20}, "fixes the height at 16 pixels, and 20 was declared"),
        ({}, {"ai": None}, r"outputs \(no labels\), it is not known which mean AI.*--ai-index and --real-index"),
        ({"classes": 1}, {"ai": None}, "--ai-index 0 where it means AI, or --real-index 0"),
        ({"classes": 1}, {"real": (0,)}, "not for both"),
        ({}, {"ai": (2,)}, "outputs 0 to 1, each for one class: 2 will not do"),
        ({}, {"ai": (1,), "real": (1,)}, "1 will not do"),
        ({"inputs": 2}, {}, r"takes 2 inputs \(x, more\)"),
        ({"last": "Relu"}, {}, "Declare --output logits or --output probability"),
        ({}, {"most": 5}, "most means nothing to the geometry resize: do not declare it"),
        ({}, {"shorter_side": 40}, "shorter_side means nothing to the geometry resize"),
        ({}, {"geometry": "crops"}, "filter means nothing to the geometry crops"),
        ({}, {"architecture": "timm:vit"}, "An architecture is for weights in safetensors"),
    ],
)
def test_what_cannot_be_read_must_be_declared(
    model: dict[str, Any], change: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    network(tmp_path / "model.onnx", **model)
    declared = Declared(**{**as_dict(RESIZED), "ai": (1,), **change})
    with pytest.raises(ExportError, match=sentence):
        import_source(str(tmp_path / "model.onnx"), tmp_path / "out", declared)
    assert not (tmp_path / "out").exists()


def test_labels_that_could_mean_either_are_asked_for(tmp_path: Path) -> None:
    folder = publish(tmp_path / "detector", config={"id2label": {"0": "cat", "1": "dog"}})
    with pytest.raises(ExportError, match=r"2 outputs \(0 = cat, 1 = dog\)"):
        import_source(str(folder), tmp_path / "out", Declared())
    many = {"id2label": {str(i): name for i, name in enumerate(["real", "fake", "sdxl generated"])}}
    folder = publish(tmp_path / "many", config=many, classes=3)
    found = import_source(str(folder), tmp_path / "out", Declared())
    assert found.read["labels"] == "AI is fake, sdxl generated, from config.json"


@pytest.mark.parametrize("name", ["model.pt", "weights.pth", "pytorch_model.bin", "m.ckpt"])
def test_pickles_are_refused_with_a_way_out(name: str, tmp_path: Path) -> None:
    (tmp_path / "detector").mkdir()
    (tmp_path / "detector" / name).write_bytes(b"\x80\x04N.")
    for source in (tmp_path / "detector", tmp_path / "detector" / name):
        with pytest.raises(ExportError, match=r"is a pickle, which can run any program.*disposable machine"):
            import_source(str(source), tmp_path / "out", RESIZED)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ExportError, match="cannot be read as ONNX"):
        import_source(str(tmp_path / "model.onnx"), tmp_path / "out", RESIZED)
    network(tmp_path / "wrong.onnx", opset=18)  # In which ReduceMean has its axes as an input.
    with pytest.raises(ExportError, match=r"ONNX Runtime cannot load wrong\.onnx"):
        import_source(str(tmp_path / "wrong.onnx"), tmp_path / "out", DECLARED)
    with pytest.raises(ExportError, match="There is no model at"):
        import_source(str(tmp_path / "none" / "model.onnx"), tmp_path / "out", RESIZED)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ExportError, match=r"has no \.onnx file, and no model\.safetensors"):
        import_source(str(tmp_path / "empty"), tmp_path / "out", RESIZED)
    for name in ("a.onnx", "b.onnx"):
        network(tmp_path / "two" / name)
    with pytest.raises(ExportError, match=r"has 2 \.onnx files \(a\.onnx, b\.onnx\)\. Name one"):
        import_source(str(tmp_path / "two"), tmp_path / "out", RESIZED)


def test_the_catalogue_is_whole_and_its_names_are_told(tmp_path: Path) -> None:
    entries = read_catalogue()
    assert {"organika", "clip-probe", "sieve", "commfor", "dda", "b-free"} <= set(entries)
    for entry in entries.values():
        assert entry.run_here.startswith(("yes", "no: "))
    with pytest.raises(ExportError, match=r"The catalogue has no organica\. Did you mean organika\?"):
        import_source("organica", tmp_path / "out", Declared())
    with pytest.raises(ExportError, match=r"dda cannot be fetched\. It comes as a pickle"):
        import_source("dda", tmp_path / "out", Declared())


def test_an_address_is_fetched_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYRITE_CACHE", str(tmp_path / "cache"))
    network(tmp_path / "model.onnx")
    content = (tmp_path / "model.onnx").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    declared = Declared(**{**as_dict(RESIZED), "ai": (1,)})
    with pytest.raises(ExportError, match=r"Give the SHA-256 of https://example\.org/model\.onnx with --sha256"):
        import_source("https://example.org/model.onnx", tmp_path / "out", declared)
    with pytest.raises(ExportError, match="is a pickle"):
        import_source("https://example.org/model.pt", tmp_path / "out", declared, sha256=digest)
    with pytest.raises(PyriteError, match="has the SHA-256"):
        import_source(str(tmp_path / "model.onnx"), tmp_path / "out", declared, sha256="0" * 64)


def test_a_wheel_is_fetched_by_pip_from_where_pip_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path / "detector")
    names = ("model.onnx", "config.json", "preprocessor_config.json")
    serve_wheel({name: (tmp_path / "detector" / name).read_bytes() for name in names}, tmp_path / "index", monkeypatch)
    source = "pypi:published==1.0#published/models/model.onnx"
    found = import_source(source, tmp_path / "out", Declared())
    assert found.bundle.info.origin
    assert (found.bundle.info.origin.source, found.bundle.info.origin.revision) == (source, "1.0")
    with pytest.raises(ExportError, match=r"has no other\.onnx\. Its \.onnx files: published/models/model\.onnx"):
        import_source("pypi:published==1.0#other.onnx", tmp_path / "no", Declared())
    with pytest.raises(PyriteError, match=r"pip cannot fetch published==2\.0"):
        import_source("pypi:published==2.0#other.onnx", tmp_path / "no", Declared())
    with pytest.raises(PyriteError, match=r"The wheel of published==1\.0 has the SHA-256"):
        import_source(source, tmp_path / "no", Declared(), sha256="0" * 64)
    with pytest.raises(ExportError, match="not of the form pypi:"):
        import_source("pypi:published", tmp_path / "no", Declared())


def test_a_repository_of_the_hub_is_pinned_to_its_commit(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="The extra hub is not installed: there is no huggingface_hub.")
    folder, asked = publish(tmp_path / "detector", inner="onnx"), list[str]()
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    files |= {"pytorch_model.bin": b"\x80\x04N.", "README.md": b"# Detector"}
    home = {"HF_HOME": str(tmp_path / "home"), "PYRITE_DATA": str(tmp_path / "data")}
    with web(hub("owner/detector", files, asked)) as address:
        code, said = run("bundle", "import", "hf:owner/detector", HF_ENDPOINT=address, **home)
        assert code == 0, said
        assert "labels: AI is artificial, from config.json" in said
        assert "Use it by name: --bundle detector" in said
        assert not any("pytorch_model" in path or "README" in path for path in asked)
        code, said = run("bundle", "import", "hf:owner/none", HF_ENDPOINT=address, **home)
        assert (code, "owner/none cannot be fetched from the Hub" in said) == (1, True)
    place = tmp_path / "data" / "bundles" / "detector"
    origin = load_bundle(place).info.origin
    assert origin
    assert (origin.source, origin.revision) == ("hf:owner/detector", COMMIT)
    # Without a network, what is there will do: as that library has it.
    code, said = run(
        "bundle",
        "import",
        "hf:owner/detector@main",
        "--name",
        "again",
        HF_ENDPOINT="http://127.0.0.1:9",
        HF_HUB_OFFLINE="1",
        **home,
    )
    assert code == 0, said


def test_weights_of_the_hub_are_converted(
    run_pyrite: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not find_spec("keras_hub") or not find_spec("huggingface_hub"):
        pytest.skip("The extras keras-hub and hub are not both installed.")
    weights, asked = publish_vit(tmp_path / "vit"), list[str]()
    files = {path.name: path.read_bytes() for path in weights.parent.iterdir()}
    files |= {"pytorch_model.bin": b"\x80\x04N.", "tf_model.h5": b"", "optimizer.safetensors": b""}
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("PYRITE_DATA", str(tmp_path / "data"))
    with web(hub("owner/vit", files, asked)) as address:
        # As HF_HOME and HF_ENDPOINT, which the Hub's library reads once; TensorFlow takes long to load in a process.
        for name, value in (
            ("HF_HUB_CACHE", str(tmp_path / "home")),
            ("ENDPOINT", address),
            ("HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"),
        ):
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        code, said, error = run_pyrite("bundle", "import", "hf:owner/vit")
    assert code == 0, error
    assert "weights: converted to ONNX by Keras Hub" in said
    assert "labels: AI is artificial, from config.json" in said
    assert not any(name in path for path in asked for name in ("pytorch_model", "tf_model", "optimizer"))
    bundle = load_bundle(tmp_path / "data" / "bundles" / "vit")
    assert bundle.info.origin
    assert bundle.info.origin.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert bundle.info.origin.parity is not None
    assert bundle.info.origin.parity <= 1e-4
    assert Session(bundle.model).has_features
    assert replay_golden(bundle).passed


def test_a_bundle_is_used_listed_and_removed_by_its_name(
    run_pyrite: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYRITE_DATA", str(tmp_path / "data"))
    folder, image = publish(tmp_path / "detector"), tmp_path / "image.png"
    Image.fromarray(IMAGE).save(image)
    assert "No bundle is imported yet." in run_pyrite("bundle", "list")[1]
    code, said, _ = run_pyrite("bundle", "import", folder, "--name", "mine", "--licence", "MIT")
    assert (code, "Licence: MIT" in said, "--bundle mine" in said) == (0, True, True)
    assert "mine: mine 1, not calibrated." in run_pyrite("bundle", "list")[1]
    code, said, _ = run_pyrite("detect", image, "--bundle", "mine", "--json")
    assert json.loads(said)[0]["model"] == {"name": "mine", "version": "1"}
    code, _, error = run_pyrite("bundle", "import", folder, "--name", "mine")
    assert (code, "already exists" in error) == (1, True)
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    code, _, error = run_pyrite("detect", image, "--bundle", "mine")
    hides = f"The folder mine here is not a bundle, and hides the bundle of that name: {tmp_path / 'data' / 'bundles'}"
    assert (code, hides.replace(" ", "") in "".join(error.split())) == (1, True)
    assert run_pyrite("bundle", "remove", "mine")[:2] == (0, "Removed mine.\n")
    code, _, error = run_pyrite("bundle", "remove", "mine")
    assert (code, "There is no bundle named mine." in error) == (1, True)
    code, _, error = run_pyrite("bundle", "remove", "../detector")
    assert (code, "is not a valid bundle name" in error) == (1, True)
    assert folder.is_dir()


def test_a_folder_named_as_an_entry_of_the_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    with pytest.raises(ExportError, match="no model that can be imported, and hides the catalogue's photos"):
        import_source("photos", tmp_path / "out", Declared())
    publish(tmp_path / "photos")
    assert import_source("photos", tmp_path / "out", Declared(), licence="MIT").bundle.path == tmp_path / "out"


def test_the_command_line_declares_it_all(run_pyrite: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    network(tmp_path / "model.onnx", classes=3)
    options = (
        "--geometry", "shorter_side", "--shorter-side", 20, "--size", "16x16", "--filter", "lanczos", "--scale", "clip",
        "--layout", "nchw", "--channels", "bgr", "--output", "logits", "--ai-index", 1, "--ai-index", 2,
        "--real-index", 0, "--bias", -0.5, "--min-side", 32, "--threshold", 1.5, "--name", "mine",
    )  # fmt: skip
    code, _, error = run_pyrite("bundle", "import", tmp_path / "model.onnx", "--out", tmp_path / "out", *options)
    assert code == 0, error
    info = load_bundle(tmp_path / "out").info
    assert info.preprocess == ShorterSide(shorter_side=20, height=16, width=16, filter="lanczos")
    assert info.origin
    assert info.origin.threshold == 1.5
    for wrong in (("--scale", "clip", "--mean", "1,1,1"), ("--size", "0"), ("--mean", "1,2", "--std", "1,1,1")):
        code, _, error = run_pyrite("bundle", "import", tmp_path / "model.onnx", "--out", tmp_path / "no", *wrong)
        assert code == 2, error


def test_the_catalogue_is_a_table(run_pyrite: Callable[..., tuple[int, str, str]]) -> None:
    code, said, _ = run_pyrite("bundle", "catalogue")
    assert (code, "organika" in said, "non-comm" in said) == (0, True, True)
