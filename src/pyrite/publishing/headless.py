"""Bundles that are shared without model.onnx, which is made from head.json and an encoder that is fetched.

The encoder's weights are larger than everything else in Pyrite, and are already published elsewhere.
"""

from dataclasses import replace
from pathlib import Path

from pyrite.bundle import HEAD, MANIFEST, Bundle, read_headless
from pyrite.converting.encoder import compose, read_head
from pyrite.errors import ExportError, require
from pyrite.publishing.obtaining import Progress, obtain, sha256_of

_MODEL = "model.onnx"


def lacks_encoder(folder: Path) -> bool:
    """Say whether a folder is a bundle whose model is missing and can be made again."""
    return all((folder / name).is_file() for name in (MANIFEST, HEAD)) and not (folder / _MODEL).exists()


def complete(folder: Path, progress: Progress) -> Bundle:
    """Return a bundle with the model that its folder lacks, unverified: see `replay_golden`.

    Args:
        folder: One that `lacks_encoder`.
        progress: See `obtain`.

    Raises:
        BundleError: The bundle is damaged.
        ExportError: The encoder is another than the head was made for.
        MissingExtraError: The extra `import` is not installed.
        PyriteError: It cannot be fetched.
    """
    require("import", "onnx")
    bundle = read_headless(folder)
    head = read_head(bundle.read(HEAD))
    with obtain(head.encoder, progress=progress) as found:
        if sha256_of(found.model) != head.sha256:
            raise ExportError(f"The encoder {head.encoder} has changed: its SHA-256 is not {head.sha256}.")
        model = compose(found.model, head)
    # What a version of onnx writes may differ by a byte; what it computes is held by the golden images.
    return replace(bundle, files={**bundle.files, _MODEL: model})
