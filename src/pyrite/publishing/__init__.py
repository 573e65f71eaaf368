"""Making and changing bundles, without Keras."""

from pyrite.publishing.catalogue import read_catalogue
from pyrite.publishing.declared import SCALES, Declared
from pyrite.publishing.hub import Pushed, push
from pyrite.publishing.importing import Imported, import_source
from pyrite.publishing.quantize import quantize
from pyrite.publishing.recalibrate import recalibrate
from pyrite.publishing.renew import renew

__all__ = [
    "SCALES",
    "Declared",
    "Imported",
    "Pushed",
    "import_source",
    "push",
    "quantize",
    "read_catalogue",
    "recalibrate",
    "renew",
]
