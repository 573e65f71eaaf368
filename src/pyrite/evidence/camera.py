"""What a camera wrote: context, since anyone can write it."""

import re
from collections.abc import Mapping

from pyrite.evidence.metadata import Metadata
from pyrite.evidence.values import plain, tidy
from pyrite.results import Evidence, Strength

SETTINGS = {
    "ExposureTime": "exposure_time",
    "FNumber": "f_number",
    "ISOSpeedRatings": "iso",
    "FocalLength": "focal_length",
    "DateTimeOriginal": "taken",
}
EXPOSURE = ("exposure_time", "f_number", "iso")
NAME = re.compile(r"[^{}\[\]\n]{1,80}")


def read_camera(metadata: Metadata) -> list[Evidence]:
    """Report the camera that EXIF names beside a setting of the exposure, or the whole exposure without a camera.

    A Make or Model alone is not a camera: generators write there as well.
    """
    exif = metadata.exif
    make, model = (exif.get(name) for name in ("Make", "Model"))
    names = [name for name in (make, model) if isinstance(name, str) and NAME.fullmatch(name)]
    settings = {key: exif[name] for name, key in SETTINGS.items() if name in exif}
    if names and settings:
        # Many models begin with their make.
        name = names[-1] if names[-1].casefold().startswith(names[0].casefold()) else " ".join(names)
        told = f"names a camera, {plain(name)}"
    elif not names and settings.keys() >= set(EXPOSURE):
        told = "has a camera's exposure time, aperture and sensitivity, but names no camera"
    else:
        return []
    return [
        Evidence(
            kind="camera",
            strength=Strength.ASSERTED,
            says=None,
            detail=f"The file's EXIF data {told}, which anyone could have written.",
            data=tidy(
                {
                    "make": make,
                    "model": model,
                    "lens": exif.get("LensModel"),
                    "software": exif.get("Software"),
                    **settings,
                    **_read_place(metadata.gps),
                }
            ),
        )
    ]


def _read_place(gps: Mapping[str, object]) -> dict[str, float]:
    """Return latitude and longitude in degrees, north and east being positive, where both are there and possible."""
    found = {}
    for name, key, most, minus in (("Latitude", "latitude", 90, "S"), ("Longitude", "longitude", 180, "W")):
        parts = gps.get(f"GPS{name}")
        try:
            degrees, minutes, seconds = (float(part) for part in parts)  # type: ignore[attr-defined]
        except (TypeError, ValueError, OverflowError, ZeroDivisionError):
            return {}
        value = degrees + minutes / 60 + seconds / 3600
        if not 0 <= value <= most:  # As where a number is none at all.
            return {}
        found[key] = round(-value if gps.get(f"GPS{name}Ref") == minus else value, 6)
    return found
