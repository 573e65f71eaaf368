"""What strangers' bytes reach, each as a function of bytes that must return.

A target raises only where there is a bug: errors that are told to users are part of the answer.
`tests/test_fuzz_targets.py`
runs them on the seeds and on all that was ever found; `fuzz/run.py` looks for more.
"""

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np

from pyrite.bundle import load_bundle
from pyrite.bundle.manifest import parse_manifest
from pyrite.datasets.manifest import read_manifest
from pyrite.errors import BundleError, DatasetError, ImageError
from pyrite.evidence import read_evidence
from pyrite.evidence.camera import read_camera
from pyrite.evidence.capture import find_capture
from pyrite.evidence.credentials import read_credentials
from pyrite.evidence.damage import read_damage
from pyrite.evidence.exif import check_directories, find_thumbnail, load_exif, merge
from pyrite.evidence.generator import read_generator
from pyrite.evidence.history import read_history
from pyrite.evidence.iptc import find_iptc, read_iptc
from pyrite.evidence.labels import read_label
from pyrite.evidence.manifest import find_context, find_failing, find_origins
from pyrite.evidence.metadata import Field, Metadata, read_metadata
from pyrite.evidence.samsung import read_samsung
from pyrite.evidence.xmp import read_packet
from pyrite.image import Image, Limits, open_image
from pyrite.image.files import open_file
from pyrite.image.formats import recognise
from pyrite.serving.fair import Asker
from pyrite.serving.refusal import Refusal
from pyrite.serving.uploads import UploadBounds, receive

LIMITS = Limits(max_bytes=4_000_000, max_pixels=2_000_000)
_PLACES = ("PNG text", "EXIF data", "comment", "hidden text", "XMP", "IPTC data", "Samsung trailer")


def image(data: bytes) -> None:
    """Decode a file."""
    try:
        found = open_image(data, LIMITS, at_least=(32, 32))
    except ImageError as error:
        assert str(error)
        return
    assert found.pixels.shape[2] == 3
    assert found.pixels.dtype == np.uint8


def metadata(data: bytes) -> None:
    """Read all that a file says in words, without decoding its pixels."""
    here = _undecoded(data)
    said = read_metadata(here)
    _tell([*read_generator(said), *read_camera(said), *read_history(here, said), *read_damage(said)])


def evidence(data: bytes) -> None:
    """Read all evidence of a file that can be decoded, marks in its pixels included."""
    try:
        found = open_image(data, Limits(max_bytes=400_000, max_pixels=100_000))
    except ImageError:
        return
    _tell(read_evidence(found))


def credentials(data: bytes) -> None:
    """Read content credentials in a file of any kind."""
    _tell(read_credentials(_undecoded(data), Metadata(credentials=True)))


def c2pa_manifest(data: bytes) -> None:
    """Conclude from a signed statement, which may hold any JSON: whoever signed it wrote it."""
    try:
        said = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    statements = [{"label": label, "data": said} for label in ("c2pa.actions.v2", "stds.schema-org.CreativeWork", "x")]
    ingredient = {"title": "a", "relationship": "parentOf", "active_manifest": "a", "validation_results": {}}
    store = {
        "active_manifest": "b",
        "manifests": {"a": {"assertions": statements}, "b": {"assertions": statements, "ingredients": [ingredient]}},
        "validation_results": {"activeManifest": {"success": [], "failure": []}},
    }
    for trusted in (False, True):
        find_origins(store, trusted)
        find_capture(store, trusted)
    find_failing(store)
    find_context(store)


def exif(data: bytes) -> None:
    """Read a block of EXIF."""
    for read in (load_exif, check_directories):
        try:
            found = read(data)
        except ValueError:
            continue
        if found:
            merge([found])
    find_thumbnail(data)


def words(data: bytes) -> None:
    """Read texts in every place: settings of generators, labels, XMP, IPTC, Samsung's notes."""
    read_packet(data)
    for row in find_iptc(data):
        read_iptc(row)
    read_iptc(data)
    read_samsung(data)
    name, _, text = data.decode("utf-8", "replace").partition("\0")
    read_label(name, text)
    fields = tuple(Field(place, name or "parameters", text) for place in _PLACES)
    _tell(read_generator(Metadata(fields=fields, format="PNG")))


def bundle(data: bytes) -> None:
    """Load a bundle from a zip, and read the bytes as a bundle's manifest."""
    try:
        parse_manifest(data, Path("bundle"))
    except BundleError as error:
        assert str(error)
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(data)
        file.flush()
        try:
            load_bundle(file.name)
        except BundleError as error:
            assert str(error)


def multipart(data: bytes) -> None:
    """Receive a form: the first line is the boundary, and what follows comes in two pieces."""
    head, _, body = data.partition(b"\n")
    boundary = head.decode("latin-1").strip() or "x"
    bounds = UploadBounds(max_bytes=10_000, max_files=5, max_request_bytes=50_000, seconds=20)

    async def pieces():  # type: ignore[no-untyped-def]
        yield body[: len(body) // 2]
        yield body[len(body) // 2 :]

    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    state = SimpleNamespace(asker=Asker("someone"))
    request = SimpleNamespace(headers=headers, stream=pieces, state=state)

    async def take() -> None:
        async with receive(request, bounds, Path(tempfile.gettempdir()), set()) as files:  # type: ignore[arg-type]
            assert files

    try:
        asyncio.run(take())
    except Refusal as refusal:
        assert refusal.status < 500


def dataset_manifest(data: bytes) -> None:
    """Read a table of images; the first byte tells of which kind."""
    kind = (".csv", ".tsv", ".jsonl", ".txt")[data[0] % 4] if data else ".csv"
    try:
        read_manifest(f"table{kind}", data[1:])
    except DatasetError as error:
        assert str(error)


def _undecoded(data: bytes) -> Image:
    """Return a file as an image whose pixels do not matter."""
    try:
        kind = recognise(open_file(data, LIMITS))
    except ImageError:
        kind = "JXL"
    return Image(np.zeros((8, 8, 3), np.uint8), (0, 0, 8, 8), 8, 8, kind, None, data, {}, frames=1)


def _tell(found: object) -> None:
    """Hold findings to what becomes of them: JSON."""
    msgspec.json.encode(found)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        image,
        metadata,
        evidence,
        credentials,
        c2pa_manifest,
        exif,
        words,
        bundle,
        multipart,
        dataset_manifest,
    )
}
