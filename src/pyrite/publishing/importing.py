"""`import`: make a bundle of a published detector.

What its authors do around the network (scaling, statistics, channel order, a softmax) goes into the graph. The graph is
compared with the original on images, so that the bundle gives the original's answers. What the files do not say must be
declared: nothing ambiguous is guessed. A source that is already a bundle is verified and copied as it is.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
from numpy.typing import NDArray

from pyrite.bundle import (
    BUNDLES,
    DEFAULT,
    HEAD,
    Bundle,
    BundleInfo,
    Calibration,
    Crops,
    ModelOrigin,
    Pixels,
    Preprocess,
    Resize,
    ShorterSide,
    load_bundle,
    named_place,
    read_info,
    refuse_existing,
    save_bundle,
)
from pyrite.bundle.preprocess import Filter
from pyrite.converting import convert
from pyrite.converting.encoder import read_head
from pyrite.decision import Policy, Scope
from pyrite.errors import ExportError, in_one_line, require
from pyrite.fetching import read_hub_address
from pyrite.golden import GoldenCheck, golden_images, record_golden, replay_golden, settle_batching
from pyrite.graph import CUT, Wrapping, add_features, keep_first_output, renew_opset, store, wrap
from pyrite.publishing.card import write_import_card
from pyrite.publishing.catalogue import find_entry, read_catalogue
from pyrite.publishing.declared import Declared, input_sides, settle
from pyrite.publishing.headless import complete, lacks_encoder
from pyrite.publishing.obtaining import Obtained, describe_pickle, is_pickle, may_have_model, obtain, sha256_of
from pyrite.runtime import Session

PARITY = 1e-4
"""How far a logit may differ from the original's; relative for logits beyond 1."""
HALF_PARITY = 2e-3
"""The same for a model in float16, which keeps about three digits."""
_OF_ROUNDING = 0.25
"""How far a golden image's logit may be from that with another copy of the encoder; as `GoldenCheck.max_difference`."""
_SIDE = 160  # pixels of the images on which the graph is compared with the original


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A bundle, and how well it was imported."""

    bundle: Bundle
    source: str
    """Where it came from."""
    revision: str | None
    """The commit or version of it."""
    parity: float | None = None
    """The largest difference of a logit from the original fed by hand; `None` of what was a bundle already."""
    filter_effect: float | None = None
    """The largest that another filter makes; `None` where nothing is resized."""
    read: dict[str, str] = field(default_factory=dict)
    """What was read from the model's files rather than declared, by name."""


def import_source(
    source: str,
    out: Path | None,
    declared: Declared,
    *,
    name: str | None = None,
    licence: str | None = None,
    sha256: str | None = None,
    encoder: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Imported:
    """Make a bundle of a published model, or copy a published bundle.

    Args:
        source: As `obtain` takes it, or a name of the catalogue.
        out: A folder that does not exist yet; by default, one in the user's data folder, for use by its name.
        declared: What the model's files, or the catalogue, do not say.
        name: Of the bundle; by default, that in the catalogue, or of the file. What is a bundle already is only kept by
            it.
        licence: Of the model; the catalogue has that of its own.
        sha256: See `obtain`.
        encoder: For a bundle that lacks its encoder: where to take that from, as `obtain` does, instead of where the
            bundle says.
        progress: See `obtain`.

    Raises:
        BundleError: `out` exists or cannot be written, or a bundle is damaged or not understood.
        ExportError: The model is not one that can be a bundle, or something must be declared, or must not.
        MissingExtraError: An extra is not installed.
        PyriteError: It cannot be fetched.
    """
    if not source.startswith("hf:") and not Path(source).is_dir():  # These may be bundles.
        require("import", "onnx")
    is_name = re.fullmatch(r"[\w.-]+", source) is not None
    entry = find_entry(source) if is_name and not Path(source).exists() else None
    if is_name and not entry and source in read_catalogue() and not may_have_model(Path(source)):
        raise ExportError(
            f"The folder {source} here has no model that can be imported, and hides the catalogue's {source}."
        )
    own = BUNDLES / entry.bundle if entry and entry.bundle else Path(source)
    if lacks_encoder(own):
        return _complete(own, out, name, declared, licence, encoder, sha256, progress)
    if encoder:
        raise ExportError(f"{source} has its own network: only a bundle that lacks its encoder takes one.")
    if entry:
        name = name or source
        licence = licence or entry.licence
        sha256 = sha256 or entry.sha256
        said = {key: value for key in Declared.__struct_fields__ if (value := getattr(declared, key)) is not None}
        declared = msgspec.structs.replace(entry.inputs, **said)
        assert entry.source
        source = entry.source
    with obtain(source, sha256=sha256, progress=progress) as found:
        name = name or _name_of(found)
        if found.is_bundle:
            _refuse_declared(found.source, declared, licence)
            return _take(found, out or named_place(name))
        return import_model(
            found.model,
            out or named_place(name),
            declared,
            name=name,
            licence=licence or "not declared",
            origin=ModelOrigin(
                source=found.source,
                revision=found.revision or (entry.revision if entry else None),
                sha256="",
                authors=entry.authors if entry else None,
                paper=entry.paper if entry else None,
                allows=entry.allows if entry else "unclear",
            ),
            knows=entry.knows if entry else (),
            head=_read_probe(found.model.parent / entry.head) if entry and entry.head else None,
        )


def import_model(
    model: Path,
    out: Path,
    declared: Declared,
    *,
    name: str,
    version: str = "1",
    licence: str,
    origin: ModelOrigin,
    knows: Sequence[str] = (),
    head: tuple[tuple[float, ...], float] | None = None,
) -> Imported:
    """Make a bundle of an ONNX file.

    Args:
        model: The file; a config.json and preprocessor_config.json beside it, or in the folder above, are read.
        out: A folder that does not exist yet.
        declared: What the files do not say.
        name: Of the bundle.
        version: Of the bundle.
        licence: Of the model, in a few words.
        origin: Where it came from; its hash and parity are filled in.
        knows: The generators whose images trained it, where that is known.
        head: A linear layer upon the model's output: see `Wrapping`.

    Raises:
        BundleError: `out` exists or cannot be written.
        ExportError: The model is not one that can be a bundle, or something must be declared.
        MissingExtraError: The extra `train` is not installed.
    """
    require("import", "onnx")
    import onnx

    if is_pickle(model.name):
        raise ExportError(describe_pickle(model.name))
    with TemporaryDirectory(prefix="pyrite-import-") as made:
        images = golden_images(load_bundle(DEFAULT), _SIDE)
        path, read, converted = model, dict[str, str](), 0.0
        if declared.architecture and model.suffix != ".safetensors":
            raise ExportError("An architecture is for weights in safetensors: a graph says its own. Do not declare it.")
        if model.suffix == ".safetensors":
            height, width = input_sides(declared, model.parent)
            squeeze = Resize(height=height, width=width, filter="bilinear")
            some = np.concatenate([squeeze.apply(image) for image in images])
            made_of = convert(model, Path(made), some, architecture=declared.architecture)
            path, converted = made_of.model, made_of.difference
            read["weights"] = f"converted to ONNX by {made_of.library}"
        try:
            original = renew_opset(onnx.load(path))
        except ExportError:
            raise
        except Exception as error:  # Protobuf's and onnx's own, of several kinds.
            raise ExportError(f"{model} cannot be read as ONNX: {error}") from error
        settled = settle(declared, model.parent, original, head)
        how, preprocess = settled.wrapping, settled.preprocess
        keep_first_output(original)
        if head is None:
            add_features(original)
        wrapped = wrap(original, how)
        add_features(wrapped)
        files = store(wrapped, Path(made))
        origin = msgspec.structs.replace(
            origin,
            sha256=sha256_of(model),
            parity=converted + _compare(path, files["model.onnx"], how, preprocess, images),
            filter_effect=_filter_effect(files["model.onnx"], preprocess, images),
            threshold=origin.threshold if declared.threshold is None else declared.threshold,
        )
        scope = _scope(preprocess, declared.min_side, name)
        info = BundleInfo(
            name=name,
            version=version,
            licence=licence,
            preprocess=preprocess,
            scope=scope,
            calibration=Calibration(),
            policy=Policy(real_needs_provenance=scope.is_photographs),
            knows=tuple(knows),
            origin=origin,
            files=dict.fromkeys(files, ""),
        )
        held = {file: content for file, content in files.items() if isinstance(content, bytes)}
        draft = Bundle(info, held, Path(made))
        draft = replace(draft, info=settle_batching(draft, images))
        more = {"golden.json": record_golden(draft, images), "card.md": write_import_card(draft.info).encode()}
        saved = save_bundle(out, draft.info, {**files, **more})
    return Imported(
        bundle=saved,
        source=origin.source,
        revision=origin.revision,
        parity=origin.parity,
        filter_effect=origin.filter_effect,
        read={**read, **settled.read},
    )


def _complete(
    folder: Path,
    out: Path | None,
    name: str | None,
    declared: Declared,
    licence: str | None,
    encoder: str | None,
    sha256: str | None,
    progress: Callable[[int, int], None],
) -> Imported:
    """Fetch the encoder that a bundle lacks, check its golden images, and save it.

    Another copy of the encoder, with weights that were rounded otherwise, gives other logits. It is taken if they
    differ little, and verdicts not at all; golden.json has its own then.
    """
    info = read_info(folder)
    out = out or named_place(name or info.name)
    _refuse_declared(info.name, declared, licence)
    refuse_existing(out)
    bundle = complete(folder, encoder, sha256, progress)
    checked = replay_golden(bundle)
    head = read_head(bundle.files[HEAD])
    another = bundle.files[HEAD] != (folder / HEAD).read_bytes()
    if not checked.passed and not (another and _differs_little(checked)):
        raise ExportError(
            f"With {head.encoder if another else 'its encoder'}, {info.name} gives other results than where it was "
            f"made: logits differ by up to {checked.max_difference:.2g}, and {len(checked.changed_verdicts)} verdicts "
            f"change.{'' if another else ' Please report this.'}"
        )
    files = dict(bundle.files)
    if not checked.passed:
        files["golden.json"] = record_golden(bundle, golden_images(bundle))
    return Imported(
        bundle=save_bundle(out, bundle.info, files),
        source=head.encoder,
        revision=None,
        read={
            "encoder": head.encoder,
            "golden images": f"{checked.vectors}, logits differ by at most {checked.max_difference:.2g}",
            **({"calibration": "as with the encoder that it was made with"} if not checked.passed else {}),
        },
    )


def _differs_little(checked: GoldenCheck) -> bool:
    """Say whether another copy of an encoder changes logits by no more than rounding its weights does."""
    return not checked.changed_inputs and not checked.changed_verdicts and checked.max_difference <= _OF_ROUNDING


def _refuse_declared(source: str, declared: Declared, licence: str | None) -> None:
    """Refuse declarations that the bundle already makes.

    Raises:
        ExportError: Something of it is declared.
    """
    said = [key for key in Declared.__struct_fields__ if getattr(declared, key) is not None]
    said += ["licence"] if licence else []
    if said:
        raise ExportError(
            f"{source} is already a bundle, which declares all of that itself. Leave out: {', '.join(said)}."
        )


def _take(found: Obtained, out: Path) -> Imported:
    """Verify and copy a bundle."""
    bundle = load_bundle(found.model.parent, among_others=True)
    files = {name: bundle.content(name) for name in bundle.info.files}
    return Imported(bundle=save_bundle(out, bundle.info, files), source=found.source, revision=found.revision)


def _compare(
    model: Path, content: bytes | Path, how: Wrapping, preprocess: Preprocess, images: Sequence[Pixels]
) -> float:
    """Return the largest difference between a logit of the original, fed by hand, and of the wrapped graph.

    Raises:
        ExportError: One exceeds `PARITY`, or `HALF_PARITY`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        original = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # Its own, which share no other base.
        raise ExportError(f"ONNX Runtime cannot load {model.name}: {in_one_line(error, 300)}") from error
    taken = original.get_inputs()[0]
    session = Session(content, one_by_one=True)
    differences = []
    for image in images:
        inputs = preprocess.apply(image)[:1]
        values = (inputs[..., ::-1] if how.channels == "bgr" else inputs).astype(np.float32) / 255
        values = (values - np.array(how.mean, np.float32)) / np.array(how.std, np.float32)
        if how.layout == "nchw":
            values = values.transpose(0, 3, 1, 2)
        fed = np.ascontiguousarray(values, np.float16 if "16" in taken.type else np.float32)
        try:
            given = np.asarray(original.run(None, {taken.name: fed})[0], np.float64).reshape(-1)
        except Exception as error:
            raise ExportError(
                f"{model.name} fails on an image of {how.height}x{how.width}: {in_one_line(error, 300)}"
            ) from error
        ours, theirs = float(session.logits(inputs)[0]), by_hand(given, how)
        differences.append(abs(ours - theirs) / max(1.0, abs(theirs)))
    worst, most = max(differences), HALF_PARITY if "16" in taken.type else PARITY
    if not worst <= most:
        raise ExportError(
            f"The imported graph differs from the original by {worst:.2g} in a logit; at most {most:g} is allowed."
        )
    return worst


def by_hand(given: NDArray[np.float64], how: Wrapping) -> float:
    """Turn a model's output (classes,) for one image into a logit."""
    if how.head:
        weights, bias = how.head
        return float(given / np.linalg.norm(given) @ np.asarray(weights) + bias + how.bias)
    if how.output == "probability":
        given = np.clip(given, CUT, 1 - CUT)
        if how.classes == 1:
            sign = 1 if how.ai else -1
            return float(sign * (np.log(given[0]) - np.log(1 - given[0])) + how.bias)
        return float(np.log(given[list(how.ai)].sum()) - np.log(given[list(how.real)].sum()) + how.bias)
    if how.classes == 1:
        return float((1 if how.ai else -1) * given[0] + how.bias)
    ai, real = (float(np.logaddexp.reduce(given[list(chosen)])) for chosen in (how.ai, how.real))
    return ai - real + how.bias


def _filter_effect(content: bytes | Path, preprocess: Preprocess, images: Sequence[Pixels]) -> float | None:
    """Return the largest change of a logit with another filter: what a wrong declaration would cost."""
    if isinstance(preprocess, Crops):
        return None
    other: Filter = "bilinear" if preprocess.filter == "bicubic" else "bicubic"
    changed = msgspec.structs.replace(preprocess, filter=other)
    session = Session(content, one_by_one=True)
    ours, others = (
        session.logits(np.concatenate([geometry.apply(image) for image in images]))
        for geometry in (preprocess, changed)
    )
    return float(np.abs(ours - others).max())


def _scope(preprocess: Preprocess, min_side: int | None, name: str) -> Scope:
    """Return which images a model is for: those large enough not to be enlarged."""
    sides = (preprocess.shorter_side,) if isinstance(preprocess, ShorterSide) else preprocess.size
    scope = Scope(min_side=min_side or max(sides), max_side=None, description="")
    description = f"Images similar to those that trained {name}, {scope.sizes} pixels a side."
    return msgspec.structs.replace(scope, description=description)


def _name_of(found: Obtained) -> str:
    """Return a model's name, from its repository, its file or its bundle."""
    if on_hub := read_hub_address(found.source):
        stem = on_hub.repository.rpartition("/")[2]
    else:
        stem = read_info(found.model.parent).name if found.is_bundle else found.model.stem
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "imported"


def _read_probe(path: Path) -> tuple[tuple[float, ...], float]:
    class Head(msgspec.Struct):
        weights: tuple[float, ...]
        bias: float

    try:
        head = msgspec.json.decode(path.read_bytes(), type=Head)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ExportError(f"{path.name} has no weights and bias of a linear layer: {error}.") from error
    return head.weights, head.bias
