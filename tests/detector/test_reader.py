"""One file, opened once, for every bundle that judges it."""

import io
import pickle
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pyrite.bundle import Crops, Resize, ShorterSide
from pyrite.decision import Scope
from pyrite.detector import Prepared, Reader, Unreadable, View

ANY = Scope(min_side=1, max_side=None, description="")
SMALL = Scope(min_side=1, max_side=64, description="")
RESIZE, EXACT = Resize(height=4, width=4), Resize(height=4, width=4, draft=False)
CROPS = Crops(height=16, width=16, most=4)


def photo(width: int = 640, height: int = 480) -> bytes:
    y, x = np.ogrid[:height, :width]
    pixels = np.stack([(x + y) % 256, (2 * x + y) % 256, (x * y) % 256], axis=-1).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def decoded(reader: Reader, data: bytes) -> tuple[Prepared, tuple[int, int]]:
    seen: list[Any] = []
    found = reader.read(data, look=seen.append)
    assert isinstance(found, Prepared)
    (image,) = seen
    return found, image.pixels.shape[:2]


@pytest.mark.parametrize(
    ("views", "size"),
    [
        ([View(ANY, RESIZE)], (60, 80)),
        ([View(ANY, EXACT)], (480, 640)),
        ([View(ANY, CROPS)], (480, 640)),
        ([View(ANY, ShorterSide(shorter_side=8, height=8, width=8))], (480, 640)),
        ([View(ANY, RESIZE), View(ANY, CROPS)], (480, 640)),
        ([View(ANY, RESIZE), View(ANY, Resize(height=8, width=8))], (120, 160)),
        ([View(ANY, RESIZE), View(SMALL, CROPS)], (60, 80)),  # The second does not judge it.
        ([View(SMALL, CROPS), View(SMALL, CROPS)], (60, 80)),  # Nobody judges it.
    ],
)
def test_an_image_is_decoded_smaller_only_where_every_bundle_that_judges_it_allows_it(
    views: list[View], size: tuple[int, int]
) -> None:
    found, shape = decoded(Reader(tuple(views)), photo())
    assert shape == size
    assert (found.width, found.height) == (640, 480)
    judging = [view.scope.contains(640, 480) for view in views]
    assert [inputs is not None for inputs in found.inputs] == judging


def test_inputs_are_what_the_geometry_makes_of_all_pixels() -> None:
    views = tuple(View(ANY, geometry) for geometry in (EXACT, CROPS))
    found, _ = decoded(Reader(views), photo())
    with Image.open(io.BytesIO(photo())) as image:
        pixels = np.asarray(image.convert("RGB"))
    for inputs, view in zip(found.inputs, views, strict=True):
        assert inputs is not None
        assert (inputs == view.preprocess.apply(pixels)).all()


def test_a_stream_that_can_be_read_once_will_do() -> None:
    class Once(io.BytesIO):
        def seek(self, *_: object) -> int:
            raise io.UnsupportedOperation("seek")

    found = Reader((View(ANY, RESIZE), View(ANY, CROPS))).read(Once(photo()))
    assert isinstance(found, Prepared)
    assert [None if inputs is None else len(inputs) for inputs in found.inputs] == [1, 4]


def test_it_crosses_to_other_processes() -> None:
    reader = Reader((View(ANY, RESIZE), View(SMALL, CROPS)), evidence=False)
    assert pickle.loads(pickle.dumps(reader)) == reader


def test_what_cannot_be_read_says_why() -> None:
    found = Reader((View(ANY, RESIZE),)).read(b"no image", path="a.jpg")
    assert isinstance(found, Unreadable)
    assert (found.path, found.error.code) == ("a.jpg", "unsupported_format")
