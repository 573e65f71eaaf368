"""Panels in files: which bundles, by hash, and what calibrated them together."""

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pyrite.bundle import Bundle, Panel, PanelInfo, describe_members, fit_joint, load_panel, save_bundle, save_panel
from pyrite.decision import Policy
from pyrite.errors import BundleError


def saved(bundle: Bundle, folder: Path, name: str) -> Bundle:
    """Return a copy of a bundle of another name."""
    return save_bundle(folder / name, msgspec.structs.replace(bundle.info, name=name), bundle.files)


def info(members: dict[str, object] | None = None, names: tuple[str, ...] = ("a", "b")) -> PanelInfo:
    rng = np.random.default_rng(0)
    joint = fit_joint({name: rng.normal(size=50) for name in names}, np.zeros(50))
    return PanelInfo(
        calibration=joint, bundles=members or {}, data="photos", data_sha256="0", seed=0, command="", commit=None,
        packages={},
    )  # fmt: skip


@pytest.fixture
def folder(bundle: Bundle, tmp_path: Path) -> Path:
    """Two bundles, and a panel of them."""
    bundles = [saved(bundle, tmp_path / "bundles", name) for name in ("a", "b")]
    save_panel(info(describe_members(bundles, tmp_path / "panel.json")), tmp_path / "panel.json")
    return tmp_path


def test_a_panel_opens_its_bundles(folder: Path) -> None:
    panel = Panel.open([folder / "panel.json"])
    assert [bundle.info.name for bundle in panel.bundles] == ["a", "b"]
    assert panel.calibration == load_panel(folder / "panel.json")[0].calibration
    assert panel.smallest_max_fpr == panel.calibration.smallest_p_real
    assert panel.too_few(Policy(max_fpr=0.001)) == panel.calibration.too_few(Policy(max_fpr=0.001))
    stored = json.loads((folder / "panel.json").read_text())["bundles"]
    assert {name: member["path"] for name, member in stored.items()} == {"a": "bundles/a", "b": "bundles/b"}


def test_a_panel_moves_with_its_bundles(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    moved = tmp_path_factory.mktemp("elsewhere") / "panels"
    before = Panel.open([folder / "panel.json"]).sha256
    shutil.move(folder, moved)
    assert Panel.open([moved / "panel.json"]).sha256 == before


def test_a_bundle_that_changed_or_is_gone_is_named(folder: Path, bundle: Bundle) -> None:
    shutil.rmtree(folder / "bundles" / "b")
    with pytest.raises(BundleError, match=r"b of the panel .*panel\.json cannot be used: There is no bundle at"):
        Panel.open([folder / "panel.json"])
    other = msgspec.structs.replace(bundle.info, name="b", version="2")
    save_bundle(folder / "bundles" / "b", other, bundle.files)
    with pytest.raises(BundleError, match="is not the b that the panel"):
        Panel.open([folder / "panel.json"])


def test_a_panel_judges_alone(folder: Path, bundle: Bundle) -> None:
    for chosen in ([folder / "panel.json", bundle], [folder / "panel.json"] * 2):
        with pytest.raises(BundleError, match=r"panel\.json is a panel, which cannot be combined with others"):
            Panel.open(chosen)


def test_a_panel_of_detectors_that_run_elsewhere_says_so(tmp_path: Path) -> None:
    save_panel(info(), tmp_path / "panel.json")
    with pytest.raises(BundleError, match=r"it has no bundles to judge images with.*pyrite scores judge"):
        Panel.open([tmp_path / "panel.json"])


def test_a_panel_that_is_not_there_or_is_something_else_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        Panel.open([tmp_path / "none.json"])
    assert bundle.path
    with pytest.raises(BundleError, match="not a panel that this version understands"):
        Panel.open([bundle.path / "bundle.json"])


def test_members_must_be_those_of_the_calibration(folder: Path) -> None:
    content = json.loads((folder / "panel.json").read_text())
    content["bundles"]["c"] = content["bundles"].pop("b")
    (folder / "panel.json").write_text(json.dumps(content))
    with pytest.raises(BundleError, match="must be those of the calibration"):
        Panel.open([folder / "panel.json"])


def test_bundles_are_told_apart_by_name(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="Two bundles are named brightness"):
        describe_members([bundle, bundle], tmp_path / "panel.json")
    homeless = Bundle(bundle.info, bundle.files)
    with pytest.raises(BundleError, match="made in memory"):
        describe_members([homeless], tmp_path / "panel.json")


def test_the_hash_of_a_panel_is_of_bundles_and_calibration(folder: Path, bundle: Bundle) -> None:
    panel = Panel.open([folder / "panel.json"])
    apart = Panel(panel.bundles)
    assert len({panel.sha256, apart.sha256, Panel(panel.bundles[:1]).sha256, Panel((bundle,)).sha256}) == 4
    assert Panel(panel.bundles, panel.calibration).sha256 == panel.sha256
