"""`tune_decoder`: a decoder with another trace, fine-tuned on photographs in about a minute of two cores.

Only the decoder is tuned, by the mean absolute error of what it makes of the encoder's latents.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrite.datasets import Labelling
from pyrite.errors import DatasetError, DecoderError, ExportError, ImageError, SettingsError, require
from pyrite.graph import split_at
from pyrite.image import open_image
from pyrite.keras_backend import load_keras
from pyrite.matching.autoencoder import decoder_file
from pyrite.matching.layers import LATENTS, Weights
from pyrite.matching.photographs import open_photographs
from pyrite.matching.taesd import UPSAMPLINGS, build_autoencoder, modules_of, read_weights
from pyrite.matching.upsampling import Upsampling, upsample_by
from pyrite.runtime import Network, available_cpus
from pyrite.writing import whole_file

Floats = NDArray[np.float32]
_SIDE = 64  # pixels of a view
_VIEWS, _HELD = 512, 32
"""Views at most, and of these how many are kept back to measure with."""
_OF_ONE = 8  # views of a photograph at most
_BATCH = 8
_RATE = 1e-4
_LEAST = 2 * _HELD  # views
_MAX_DIFFERENCE = 0.02  # of an output in [0, 1] from Keras's: weights are stored in half precision


@dataclass(frozen=True, slots=True)
class TunedDecoder:
    """What became of a decoder; figures are PSNR in decibels over views that did not tune it."""

    photographs: int
    """How many were tuned on and measured with."""
    views: int
    passed_over: int
    """Photographs that were too small or could not be read, among those that were looked at."""
    original: float
    """Of the autoencoder that it was made from."""
    before: float
    """With the other upsampling, before tuning."""
    after: float


def tune_decoder(
    photos: str | Path,
    out: Path,
    *,
    upsampling: Upsampling,
    base: str = "taef2",
    steps: int = 100,
    seed: int = 0,
    labelling: Labelling | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TunedDecoder:
    """Change how a decoder of the TAESD family doubles the resolution, and tune it on photographs.

    Args:
        photos: What `open_photographs` takes.
        out: The ONNX file.
        upsampling: How; see `upsample_by`.
        base: A name of `shipped_decoders`, or the path of a safetensors file or of an ONNX file made of one.
        steps: Of eight views of 64 pixels each.
        seed: Of views, of noise on new weights, and of their order.
        labelling: How the source says which of its images are real.
        progress: Called with how many steps are done, and how many there will be.

    Raises:
        DecoderError: The decoder is not of this family, or tuning it failed.
        DatasetError: There are too few photographs, or the file cannot be written.
        SettingsError: A setting makes no sense.
        MissingExtraError: The `train` extra is not installed.
    """
    require("train", "keras", "onnx")
    if out.suffix != ".onnx":
        raise SettingsError(f"A decoder is an .onnx file, and {out.name} does not end so.")
    if upsampling not in UPSAMPLINGS:
        raise SettingsError(f"There is no upsampling {upsampling!r}. There are {', '.join(UPSAMPLINGS)}.")
    if steps < 1:
        raise SettingsError(f"Tuning takes at least one step, not {steps}.")
    if not out.absolute().parent.is_dir():
        raise DatasetError(f"{out} cannot be written: there is no folder {out.parent}.")
    original = read_weights(decoder_file(base))
    model = build_autoencoder(original, name=out.stem)
    changed = upsample_by(original, upsampling, seed=seed)
    views, photographs, passed_over = _load_views(str(photos), labelling, seed)
    encode = Network(split_at(model, LATENTS)[0], available_cpus())
    latents = np.concatenate([encode(_channels_first(view[None])) for view in views]).transpose(0, 2, 3, 1)
    held = slice(0, _HELD)
    tuned = _fit(changed, latents[_HELD:], views[_HELD:], steps, seed, progress)
    halves = {name: value.astype(np.float16) for name, value in tuned.weights.items()}
    content = build_autoencoder(halves, name=out.stem)
    _check_parity(content, tuned.model, latents[held])
    before, after = (_psnr(made, views[held]) for made in (build_autoencoder(changed, name=out.stem), content))
    if not np.isfinite(after):
        raise DecoderError("Tuning failed: the decoder's output is not finite. Use fewer steps or another seed.")
    try:
        with whole_file(out) as draft:
            draft.write_bytes(content)
    except OSError as error:
        raise DatasetError(f"{out} cannot be written: {error.strerror}.") from error
    return TunedDecoder(photographs, len(views), passed_over, _psnr(model, views[held]), before, after)


@dataclass(frozen=True, slots=True)
class _Tuned:
    model: Any
    weights: dict[str, NDArray[Any]]


def _load_views(photos: str, labelling: Labelling | None, seed: int) -> tuple[Floats, int, int]:
    """Return views (n, 64, 64, 3) in [0, 1], of how many photographs they are, and how many could not be used."""
    source, _ = open_photographs(photos, labelling)
    rng = np.random.default_rng(seed)
    each = min(_OF_ONE, max(1, -(-_VIEWS // len(source))))
    found: list[NDArray[np.uint8]] = []
    photographs = passed_over = 0
    for index in rng.permutation(len(source)):
        if len(found) >= _VIEWS:
            break
        try:
            pixels = open_image(source.read(int(index))).pixels
        except (OSError, ImageError):
            passed_over += 1
            continue
        height, width = pixels.shape[:2]
        if min(height, width) < _SIDE:
            passed_over += 1
            continue
        photographs += 1
        for _ in range(each):
            top, left = (int(rng.integers(length - _SIDE + 1)) for length in (height, width))
            found.append(pixels[top : top + _SIDE, left : left + _SIDE].copy())
    if len(found) < _LEAST:
        raise DatasetError(
            f"{source.name} has {photographs:,} photographs of {_SIDE} pixels or more, which give {len(found)} views; "
            f"tuning takes {_LEAST}."
        )
    return np.stack(found[:_VIEWS]).astype(np.float32) / np.float32(255), photographs, passed_over


def _fit(
    weights: Weights,
    latents: Floats,
    views: Floats,
    steps: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> _Tuned:
    """Tune the decoder's weights; return all weights."""
    keras = load_keras()
    keras.utils.set_random_seed(seed)
    model = _build_decoder(weights, latents.shape[1:])
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_RATE, steps)), loss="mae")
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(views)) for _ in range(-(-steps * _BATCH // len(views)))])
    for step in range(steps):
        chosen = order[step * _BATCH : (step + 1) * _BATCH]
        model.train_on_batch(latents[chosen], views[chosen])
        if progress:
            progress(step + 1, steps)
    return _Tuned(model, {**weights, **_weights_of(model)})


def _build_decoder(weights: Weights, shape: tuple[int, ...]) -> Any:
    """Return a Keras model of a decoder, from latents (height, width, c) to an image, its layers named by weights."""
    keras = load_keras()
    layers = keras.layers

    def convolve(name: str, x: Any) -> Any:
        value = weights[f"{name}.weight"].astype(np.float32).transpose(2, 3, 1, 0)
        bias = weights.get(f"{name}.bias")
        layer = layers.Conv2D(
            value.shape[3], value.shape[0], padding="same", use_bias=bias is not None, name=_key(name)
        )
        y = layer(x)
        layer.set_weights([value] if bias is None else [value, bias.astype(np.float32)])
        return y

    def pool(name: str, x: Any) -> Any:
        wide = convolve(f"{name}.0", x)
        normalise = layers.GroupNormalization(4, epsilon=1e-5, name=_key(f"{name}.1"))
        y = normalise(wide)
        normalise.set_weights([weights[f"{name}.1.{part}"].astype(np.float32) for part in ("weight", "bias")])
        return convolve(f"{name}.3", layers.ReLU()(y))

    def block(name: str, x: Any) -> Any:
        if f"{name}.pool.0.weight" in weights:
            x = layers.Add()([x, pool(f"{name}.pool", x)])
        y = x
        for number in (0, 2, 4):
            y = convolve(f"{name}.conv.{number}", y)
            y = layers.ReLU()(y) if number < 4 else y
        if f"{name}.skip.weight" in weights:
            x = convolve(f"{name}.skip", x)
        return layers.ReLU()(layers.Add()([y, x]))

    def double(name: str, way: str, x: Any) -> Any:
        if way == "bilinear":
            return convolve(f"{name}.bilinear", layers.UpSampling2D(2, interpolation="bilinear")(x))
        if way == "shuffle":
            wide = convolve(f"{name}.shuffle", x)
            _, height, width, channels = wide.shape
            parts = layers.Reshape((height, width, channels // 4, 2, 2))(wide)
            placed = layers.Permute((1, 4, 2, 5, 3))(parts)
            return layers.Reshape((2 * height, 2 * width, channels // 4))(placed)
        value = weights[f"{name}.transposed.weight"].astype(np.float32).transpose(2, 3, 1, 0)
        layer = layers.Conv2DTranspose(
            value.shape[2], 4, strides=2, padding="same", use_bias=False, name=_key(f"{name}.transposed")
        )
        y = layer(x)
        layer.set_weights([value])
        return y

    given = keras.Input(shape)
    x = 3 * keras.ops.tanh(given / 3)
    for position, (name, kind) in enumerate(modules_of(weights, "decoder")):
        match kind:
            case "block":
                x = block(name, x)
            case "conv":
                x = convolve(name, x)
            case _:
                x = double(name, kind, x)
        if position == 0:
            x = layers.ReLU()(x)
    return keras.Model(given, x)


def _weights_of(model: Any) -> dict[str, NDArray[Any]]:
    """Return a model's weights as the family names and turns them."""
    found: dict[str, NDArray[Any]] = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        name = layer.name.replace("__", ".")
        first, *bias = layer.get_weights()
        found[f"{name}.weight"] = first if first.ndim == 1 else np.ascontiguousarray(first.transpose(3, 2, 0, 1))
        if bias:
            found[f"{name}.bias"] = bias[0]
    return found


def _key(name: str) -> str:
    return name.replace(".", "__")  # Keras allows no dots in a layer's name.


def _check_parity(content: bytes, model: Any, latents: Floats) -> None:
    """Hold the ONNX file's decoder to what was tuned.

    Raises:
        ExportError: It gives something else.
    """
    decode = Network(split_at(content, LATENTS)[1], available_cpus())
    expected = np.asarray(model.predict_on_batch(latents)).clip(0, 1)
    worst = float(np.abs(decode(_channels_first(latents)) - _channels_first(expected)).max())
    if not worst <= _MAX_DIFFERENCE:
        raise ExportError(f"The decoder as ONNX differs from the tuned one by {worst:.2g}: at most {_MAX_DIFFERENCE}.")


def _psnr(model: bytes, views: Floats) -> float:
    """Return the median over views (n, height, width, 3), in decibels."""
    network = Network(model, available_cpus())
    errors = [np.mean((network(_channels_first(view[None])) - _channels_first(view[None])) ** 2) for view in views]
    return float(np.median(-10 * np.log10(np.maximum(errors, 1e-10))))


def _channels_first(images: Floats) -> Floats:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
