"""All marks, one after the other."""

from collections.abc import Callable

from pyrite.errors import PyriteError
from pyrite.evidence.watermarks.haar import read_haar
from pyrite.evidence.watermarks.rivagan import read_rivagan
from pyrite.evidence.watermarks.trustmark import read_trustmark
from pyrite.evidence.watermarks.weights import any_here
from pyrite.image import Image
from pyrite.results import Evidence, Strength

_BY_NETWORK: dict[str, Callable[[Image], list[Evidence]]] = {"TrustMark": read_trustmark, "RivaGAN": read_rivagan}


def read_watermarks(image: Image) -> list[Evidence]:
    """Report the marks in an image's pixels; nothing is fetched, and a network that is damaged is told."""
    found = read_haar(image)
    if not any_here():
        return found
    for name, read in _BY_NETWORK.items():
        try:
            found += read(image)
        except PyriteError as error:
            detail = f"{name} was not looked for: {error}"
            found.append(Evidence("reader", Strength.ASSERTED, None, detail, {"unread": f"watermarks: {name}"}))
    return found
