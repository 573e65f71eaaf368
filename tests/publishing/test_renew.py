from pathlib import Path

import pytest

from pyrite.bundle import Bundle, load_bundle
from pyrite.datasets import Dataset, Labelling, make_toy
from pyrite.errors import TrainingError
from pyrite.golden import replay_golden
from pyrite.publishing import renew
from runs import Run


@pytest.fixture(scope="module")
def renewed(unbroken: Run, toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    out = tmp_path_factory.mktemp("renewed")
    make_toy(out / "others", count=20, seed=9)
    data = Dataset.open(toy, labelling=Labelling(generator="A painter"))
    report = renew(unbroken.out / "bundle", data, out / "run", version="2", unknown=Dataset.open(out / "others"))
    assert report.transfer
    assert (out / "run" / "report" / "report.html").is_file()
    return load_bundle(out / "run" / "bundle")


def test_the_network_and_what_it_was_trained_on_stay(renewed: Bundle, unbroken: Run) -> None:
    before = load_bundle(unbroken.out / "bundle")
    assert renewed.info.calibration == before.info.calibration
    assert renewed.info.training == before.info.training
    for name in ("model.onnx", "recipe.toml", "trained_on.bin", "golden.json"):
        assert renewed.files[name] == before.files[name]
    assert replay_golden(renewed).passed


def test_it_may_have_a_version_of_its_own(renewed: Bundle, unbroken: Run) -> None:
    assert (load_bundle(unbroken.out / "bundle").info.version, renewed.info.version) == ("1", "2")
    assert renewed.read("card.md").decode().startswith("# tiny 2\n")


def test_it_knows_what_the_data_says_made_it(renewed: Bundle, unbroken: Run) -> None:
    assert load_bundle(unbroken.out / "bundle").info.knows == ()
    assert renewed.info.knows == ("A painter",)
    assert "- Generators it knows: A painter." in renewed.read("card.md").decode()


def test_unknown_generators_are_measured_and_on_the_card(renewed: Bundle, unbroken: Run) -> None:
    card = renewed.files["card.md"].decode()
    assert "Of 10 AI images from unknown generators (others), " in card
    before = load_bundle(unbroken.out / "bundle").files["card.md"].decode()
    assert "## Images from unknown generators\n\nNot measured." in before


def test_it_takes_what_trained_the_bundle(unbroken: Run, bundle: Bundle, toy: Path, tmp_path: Path) -> None:
    make_toy(tmp_path / "other", count=160, seed=7)
    with pytest.raises(TrainingError, match="was trained on other data than other"):
        renew(unbroken.out / "bundle", tmp_path / "other", tmp_path / "out")
    with pytest.raises(TrainingError, match="does not say what it was trained on"):
        renew(bundle, toy, tmp_path / "out")
    with pytest.raises(TrainingError, match="already exists"):
        renew(unbroken.out / "bundle", toy, tmp_path)
    with pytest.raises(TrainingError, match="version must not be empty"):
        renew(unbroken.out / "bundle", toy, tmp_path / "out", version="")
    assert not (tmp_path / "out").exists()
