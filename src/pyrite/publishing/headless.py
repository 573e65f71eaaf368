"""Bundles that are shared without model.onnx, which is made from head.json and an encoder that is fetched.

The encoder's weights are larger than everything else in Pyrite, and are already published elsewhere.
"""

from dataclasses import replace
from pathlib import Path

import msgspec

from pyrite.bundle import HEAD, MANIFEST, Bundle, read_headless
from pyrite.converting.encoder import compose, read_head, write_head
from pyrite.errors import ExportError, require
from pyrite.publishing.obtaining import Progress, obtain, sha256_of

_MODEL = "model.onnx"


def lacks_encoder(folder: Path) -> bool:
    """Say whether a folder is a bundle whose model is missing and can be made again."""
    return all((folder / name).is_file() for name in (MANIFEST, HEAD)) and not (folder / _MODEL).exists()


def complete(folder: Path, encoder: str | None, sha256: str | None, progress: Progress) -> Bundle:
    """Return a bundle with the model that its folder lacks, unverified: see `replay_golden`.

    Args:
        folder: One that `lacks_encoder`.
        encoder: Where the encoder comes from, as `obtain` takes it; by default, from where head.json says.
        sha256: See `obtain`.
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
    files = bundle.files
    with obtain(encoder or head.encoder, sha256=sha256, progress=progress) as found:
        given = sha256_of(found.model)
        if given != head.sha256:
            if not encoder:
                raise ExportError(f"The encoder {head.encoder} has changed: its SHA-256 is not {head.sha256}.")
            head = msgspec.structs.replace(head, encoder=found.pinned, sha256=given)
            files = {**files, HEAD: write_head(head)}
        model = compose(found.model, head)
    # What a version of onnx writes may differ by a byte; what it computes is held by the golden images.
    return replace(bundle, files={**files, _MODEL: model})
