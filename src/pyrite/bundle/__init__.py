"""The bundle: a model with its geometry, its calibration, and where it came from."""

from pyrite.bundle.bundle import (
    DEFAULT,
    MAX_BYTES,
    OPTIONAL,
    REQUIRED,
    VALIDATED,
    Bundle,
    load_bundle,
    read_info,
    save_bundle,
)
from pyrite.bundle.calibration import Calibration, calibrated_loss, fit_calibration
from pyrite.bundle.joint import JointCalibration, JointGroup, fit_joint
from pyrite.bundle.library import named_bundles, named_place, remove_named
from pyrite.bundle.manifest import (
    FORMAT,
    MANIFEST,
    BundleInfo,
    DataInfo,
    ModelOrigin,
    Quantization,
    TeacherInfo,
    TrainingInfo,
    format_manifest,
)
from pyrite.bundle.novelty import NOVELTY, Novelty, read_novelty, write_novelty
from pyrite.bundle.panel import Panel, PanelInfo, describe_members, load_panel, save_panel
from pyrite.bundle.preprocess import Crops, Pixels, Preprocess, Resize, ShorterSide

__all__ = [
    "DEFAULT",
    "FORMAT",
    "MANIFEST",
    "MAX_BYTES",
    "NOVELTY",
    "OPTIONAL",
    "REQUIRED",
    "VALIDATED",
    "Bundle",
    "BundleInfo",
    "Calibration",
    "Crops",
    "DataInfo",
    "JointCalibration",
    "JointGroup",
    "ModelOrigin",
    "Novelty",
    "Panel",
    "PanelInfo",
    "Pixels",
    "Preprocess",
    "Quantization",
    "Resize",
    "ShorterSide",
    "TeacherInfo",
    "TrainingInfo",
    "calibrated_loss",
    "describe_members",
    "fit_calibration",
    "fit_joint",
    "format_manifest",
    "load_bundle",
    "load_panel",
    "named_bundles",
    "named_place",
    "read_info",
    "read_novelty",
    "remove_named",
    "save_bundle",
    "save_panel",
    "write_novelty",
]
