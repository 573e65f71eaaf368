"""The bundle: a model with its geometry, its calibration, and where it came from."""

from pyrite.bundle.bundle import DEFAULT, MAX_BYTES, OPTIONAL, REQUIRED, Bundle, load_bundle, read_info, save_bundle
from pyrite.bundle.calibration import Calibration, calibrated_loss, fit_calibration
from pyrite.bundle.joint import JointCalibration, JointGroup, fit_joint
from pyrite.bundle.manifest import FORMAT, MANIFEST, BundleInfo, DataInfo, ModelOrigin, Quantization, TrainingInfo
from pyrite.bundle.preprocess import Crops, Pixels, Preprocess, Resize, ShorterSide

__all__ = [
    "DEFAULT",
    "FORMAT",
    "MANIFEST",
    "MAX_BYTES",
    "OPTIONAL",
    "REQUIRED",
    "Bundle",
    "BundleInfo",
    "Calibration",
    "Crops",
    "DataInfo",
    "JointCalibration",
    "JointGroup",
    "ModelOrigin",
    "Pixels",
    "Preprocess",
    "Quantization",
    "Resize",
    "ShorterSide",
    "TrainingInfo",
    "calibrated_loss",
    "fit_calibration",
    "fit_joint",
    "load_bundle",
    "read_info",
    "save_bundle",
]
