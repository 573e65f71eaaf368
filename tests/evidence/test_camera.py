"""What cameras write."""

from typing import Any

import pytest
from metadata_files import Base, encode, exif, jpeg, only, tiff
from PIL import ExifTags

from pyrite.evidence import read_evidence
from pyrite.image import open_image

EXPOSURE = {Base.ExposureTime: 0.01, Base.FNumber: 8.0, Base.ISOSpeedRatings: 100}


def test_a_camera_is_context() -> None:
    tags = {Base.Make: "Canon", Base.Model: "Canon EOS R5", Base.Software: "Lightroom"}
    photo = {**EXPOSURE, Base.LensModel: "EF 50mm"}
    found = only(jpeg(tags, photo))
    assert (found.kind, found.says) == ("camera", None)
    assert found.detail == "The file's EXIF data names a camera, Canon EOS R5, which anyone could have written."
    assert found.data == {
        "make": "Canon", "model": "Canon EOS R5", "lens": "EF 50mm", "software": "Lightroom",
        "exposure_time": 0.01, "f_number": 8.0, "iso": 100,
    }  # fmt: skip
    assert only(tiff({**tags, ExifTags.IFD.Exif: photo})).kind == "camera"


@pytest.mark.parametrize("tags", [{Base.Make: "Canon"}, {Base.Make: "workflow:{}", Base.Model: "prompt:{}"}])
def test_a_make_alone_is_no_camera(tags: dict[int, Any]) -> None:
    assert read_evidence(open_image(jpeg(tags))) == []


def test_a_whole_exposure_is_context_without_a_camera() -> None:
    found = only(jpeg({Base.Software: "00WW"}, EXPOSURE))
    assert (found.kind, found.says) == ("camera", None)
    assert "names no camera" in found.detail
    assert found.data == {"software": "00WW", "exposure_time": 0.01, "f_number": 8.0, "iso": 100.0}


@pytest.mark.parametrize("missing", EXPOSURE)
def test_a_part_of_an_exposure_alone_is_nothing(missing: int) -> None:
    photo = {tag: value for tag, value in EXPOSURE.items() if tag != missing}
    assert read_evidence(open_image(jpeg({Base.Software: "00WW"}, photo))) == []


@pytest.mark.parametrize(
    ("place", "read"),
    [
        ({1: "S", 2: (33.0, 51.0, 36.0), 3: "E", 4: (151.0, 12.0, 0.0)}, (-33.86, 151.2)),
        ({1: "N", 2: (47.0, 22.0, 12.0), 3: "W", 4: (8.0, 32.0, 24.0)}, (47.37, -8.54)),
        ({1: "N", 2: (95.0, 0.0, 0.0), 3: "W", 4: (8.0, 0.0, 0.0)}, (None, None)),
        ({1: "N", 2: (47.0, 22.0, 12.0)}, (None, None)),
    ],
)
def test_where_it_was_taken(place: dict[int, Any], read: tuple[float | None, float | None]) -> None:
    made = exif({Base.Make: "Canon", Base.Model: "EOS"}, EXPOSURE)
    made.get_ifd(ExifTags.IFD.GPSInfo).update(place)
    found = only(encode("JPEG", exif=made))
    assert (found.data.get("latitude"), found.data.get("longitude")) == read
