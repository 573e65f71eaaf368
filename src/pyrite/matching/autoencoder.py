"""Autoencoders that reconstruct photographs: those that come with Pyrite, files, and variants of either."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pyrite.datasets.vocabulary import REAL, label_of
from pyrite.errors import DecoderError, ExportError, PyriteError, SettingsError, in_one_line, require
from pyrite.fetching import HubAddress, read_hub_address
from pyrite.graph import split_at
from pyrite.matching.autoencoder_kl import build_autoencoder_kl, is_autoencoder_kl
from pyrite.matching.layers import LATENTS, STRIDE
from pyrite.matching.taesd import build_autoencoder, read_weights
from pyrite.runtime import Network, available_cpus

Pixels = NDArray[np.uint8]
_SHIPPED = Path(__file__).parents[1] / "decoders"
_VARIANT = re.compile(r"(?P<base>.+):(?P<variant>twice|levels=(?P<levels>\d+)|noise=(?P<noise>\d*\.?\d+))", re.DOTALL)
_USUAL_FILE = "vae/diffusion_pytorch_model.safetensors"
"""Where a repository of Diffusers keeps its autoencoder."""
_USUAL_STRIDE = 8
_RANGE = 3.0
"""Standard deviations on either side that levels are spread over."""
_MAX_BYTES = 2_000_000_000


class Reconstruct(Protocol):
    """What an autoencoder does to an image: float32 (1, 3, height, width) in [0, 1], in and out."""

    def __call__(self, image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Return the reconstruction; only noise draws on `rng`."""
        ...


@dataclass(frozen=True, slots=True)
class Autoencoder:
    """An autoencoder that was loaded and tried."""

    name: str
    """What its reconstructions are called as a generator's: the file's name, and the variant."""
    sha256: str
    """Of its file, in hexadecimal."""
    stride: int
    """Both sides of an image must be a multiple of it."""
    size: tuple[int | None, int | None]
    """Height and width that it takes; `None` where it takes any."""
    _reconstruct: Reconstruct

    def reconstruct(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """Return what the autoencoder makes of an image, (height, width, 3), 0 to 255.

        Args:
            pixels: Of the same shape.
            rng: For variants with noise.

        Raises:
            DecoderError: It fails, or gives another shape, or what is no number.
        """
        image = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
        try:
            made = self._reconstruct(image, rng)
        except PyriteError as error:
            raise DecoderError(f"The decoder {self.name} failed: {error}") from error
        if made.shape != image.shape:
            raise DecoderError(
                f"The decoder {self.name} makes {made.shape} of {image.shape}. It must be an autoencoder: float32 "
                "(N, 3, height, width) in [0, 1] in, and the same shape out."
            )
        if not np.isfinite(made).all():
            raise DecoderError(f"The decoder {self.name} gave a value that is infinite or not a number.")
        reconstruction: Pixels = (made[0].transpose(1, 2, 0).clip(0, 1) * 255).round().astype(np.uint8)
        return reconstruction


def shipped_decoders() -> tuple[str, ...]:
    """Return the names of the autoencoders that come with Pyrite."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.onnx")))


def open_autoencoder(said: str, side: int) -> Autoencoder:
    """Load an autoencoder, and try it on a grey image.

    Args:
        said: A name of `shipped_decoders`, or what `decoder_file` takes; with `:levels=K`, `:noise=S` or `:twice` after
            it for a variant (see `quantise` and `add_noise`).
        side: Height and width of the images that it will be given.

    Raises:
        DecoderError: It is not there, or cannot be loaded, or is no autoencoder of images of this side.
        SettingsError: The variant makes no sense.
        MissingExtraError: A variant of latents, or safetensors, without the `train` extra.
    """
    match = _VARIANT.fullmatch(said)
    base = match["base"] if match else said
    path = decoder_file(base)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DecoderError(f"The decoder {base} cannot be read: {error.strerror}.") from error
    if len(content) > _MAX_BYTES:
        raise DecoderError(f"{base} has {len(content):,} bytes; the limit is {_MAX_BYTES:,}.")
    on_hub = read_hub_address(base)
    name = re.sub(r"[^\w.-]+", "-", on_hub.repository.split("/")[1] if on_hub else path.stem)
    model = _build(path, name) if path.suffix == ".safetensors" else content
    try:
        whole = Network(model, available_cpus())
    except PyriteError as error:
        raise DecoderError(f"The decoder {base} cannot be used: {error}") from error
    if match:
        name = f"{name}-{match['variant'].replace('=', '')}"
    if label_of(name) == REAL:
        raise DecoderError(f"A decoder cannot be called {name}: its images are to be told from real ones. Rename it.")
    size = _check_shape(base, whole, side)
    stride = _stride(base, whole)
    if side % stride:
        raise SettingsError(f"The side of {side} pixels is no multiple of {stride}, which the decoder {base} takes.")
    found = Autoencoder(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        stride=stride,
        size=size,
        _reconstruct=_variant(base, whole, model, match),
    )
    found.reconstruct(np.full((side, side, 3), 128, np.uint8), np.random.default_rng(0))
    return found


def quantise(latents: NDArray[np.float32], levels: int) -> NDArray[np.float32]:
    """Return latents of one image, of any shape, brought to the nearest of some levels.

    The levels are spread evenly over three standard deviations on either side of the mean, and what lies beyond is
    brought to the outermost: a coarser kind of what finite scalar quantisation (Mentzer et al. 2023) trains with.
    """
    mean, reach = latents.mean(), _RANGE * latents.std()
    if reach == 0:
        return latents
    steps = np.round(((latents - mean) / reach).clip(-1, 1) * ((levels - 1) / 2) + (levels - 1) / 2)
    quantised: NDArray[np.float32] = ((steps / (levels - 1) * 2 - 1) * reach + mean).astype(np.float32)
    return quantised


def add_noise(latents: NDArray[np.float32], share: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return latents of one image with white Gaussian noise: a share of their own standard deviation."""
    return latents + np.float32(share * latents.std()) * rng.standard_normal(latents.shape, np.float32)


def _build(path: Path, name: str) -> bytes:
    """Return the network that weights in safetensors are of, told by their names."""
    weights = read_weights(path)
    return (build_autoencoder_kl if is_autoencoder_kl(weights) else build_autoencoder)(weights, name=name)


def _variant(base: str, whole: Network, model: bytes, match: re.Match[str] | None) -> Reconstruct:
    if match is None:
        return lambda image, _rng: whole(image)
    if match["variant"] == "twice":
        return lambda image, _rng: whole(whole(image).clip(0, 1))
    require("train", "onnx")
    try:
        encode, decode = (Network(half, available_cpus()) for half in split_at(model, LATENTS))
    except ExportError as error:
        raise DecoderError(f"The decoder {base} has no variants of its latents: {error}") from error
    if match["levels"]:
        levels = int(match["levels"])
        if not 2 <= levels <= 65_536:
            raise SettingsError(f"Latents have from 2 to 65,536 levels, not {levels:,}.")
        return lambda image, _rng: decode(quantise(encode(image), levels))
    share = float(match["noise"])
    return lambda image, rng: decode(add_noise(encode(image), share, rng))


def decoder_file(base: str) -> Path:
    """Return the file of an autoencoder, without a variant: one that comes with Pyrite, or the user's, or of the Hub.

    Args:
        base: A name of `shipped_decoders`; the path of an ONNX file, or of weights in safetensors, of the TAESD family
            or of an `AutoencoderKL` of Diffusers; or `hf:OWNER/NAME`, with `@REVISION` and `#path/in/repository` where
            these are not the newest and `vae/diffusion_pytorch_model.safetensors`.

    Raises:
        DecoderError: It is none of these, or cannot be fetched.
        MissingExtraError: `hf:` without the extra `hub`.
    """
    on_hub = read_hub_address(base)
    if base in shipped_decoders():
        return _SHIPPED / f"{base}.onnx"
    path = Path((on_hub.path or _USUAL_FILE) if on_hub else base)
    if path.suffix not in (".onnx", ".safetensors"):
        raise DecoderError(
            f"There is no decoder {base!r}. Name {' or '.join(shipped_decoders())}, an .onnx file, or a .safetensors "
            "file of the TAESD family or an AutoencoderKL, or hf:OWNER/NAME#path/in/repository; with :levels=K, "
            ":noise=S or :twice after it for a variant."
        )
    return _fetch(on_hub, path) if on_hub else path


def _fetch(on_hub: HubAddress, path: Path) -> Path:
    """Return a file of a repository of the Hub, from the library's cache where it is there already."""
    require("hub", "huggingface_hub")
    from huggingface_hub import hf_hub_download

    repository = on_hub.repository
    try:
        return Path(hf_hub_download(repository, path.as_posix(), revision=on_hub.revision))
    except Exception as error:  # The library's own, of requests and of the disk, of many kinds.
        raise DecoderError(
            f"{path} of {repository} cannot be fetched from the Hub: {in_one_line(error, 300)}"
        ) from error


def _check_shape(base: str, network: Network, side: int) -> tuple[int | None, int | None]:
    """Return the height and width that an autoencoder takes."""
    for shape in network.shapes:
        fits = len(shape) == 4 and shape[0] in (None, 1) and shape[1] in (None, 3)
        if not fits or any(length not in (None, side) for length in shape[2:]):
            raise DecoderError(
                f"The decoder {base} takes {_shown(network.shapes[0])} and gives {_shown(network.shapes[1])}. It must "
                f"be an autoencoder: float32 (N, 3, height, width) in [0, 1] in, and the same shape out, for sides of "
                f"{side} pixels."
            )
    _, _, height, width = network.shapes[0]
    return height, width


def _stride(base: str, network: Network) -> int:
    said = network.metadata.get(STRIDE, str(_USUAL_STRIDE))
    if not said.isdecimal() or not 1 <= int(said) <= 1024:
        raise DecoderError(f"The decoder {base} names {said!r} as its stride, which is not a number from 1 to 1,024.")
    return int(said)


def _shown(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in shape)})"
