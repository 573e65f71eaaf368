"""The bundle that comes with Pyrite: there, small, and what its card says."""

import json
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from pyrite.bundle import DEFAULT, load_bundle
from pyrite.cli.application import app
from pyrite.detector import Detector
from pyrite.golden import replay_golden, write_golden
from pyrite.recipe import load_recipe, make_recipe

MAX_NETWORK, MAX_BYTES = 5_000_000, 6_000_000


def test_it_is_small_and_says_here_what_it_said_where_it_was_made() -> None:
    bundle = load_bundle(DEFAULT)
    assert len(bundle.read("model.onnx")) < MAX_NETWORK
    assert sum(map(len, bundle.files.values())) < MAX_BYTES
    assert replay_golden(bundle).passed
    assert {"report.json", "recipe.toml", "trained_on.bin", "spectra.json", "card.md"} <= set(bundle.files)


def test_it_was_trained_as_its_command_says() -> None:
    bundle = load_bundle(DEFAULT)
    assert bundle.info.training
    words = shlex.split(bundle.info.training.command)
    settings = [value for option, value in pairwise(words) if option == "--set"]
    assert words[words.index("--recipe") + 1] == "default"
    asked = load_recipe("default", settings)
    taken = tuple(target.removesuffix("?") for target in asked.targets)  # CIFAKE has them.
    trained = make_recipe(tomllib.loads(bundle.read("recipe.toml").decode()))
    # `pyrite bundle renew --version` named it anew since.
    assert (trained.version, bundle.info.version) == ("3", asked.version)
    assert trained == msgspec.structs.replace(asked, targets=taken, version="3")


def test_its_card_has_the_figures_of_its_report() -> None:
    bundle = load_bundle(DEFAULT)
    card, report = bundle.read("card.md").decode(), json.loads(bundle.read("report.json"))
    accuracy = report["deduplicated"]["headline"]["accuracy"]
    assert f"| Accuracy | {accuracy['value']:.4f} | {accuracy['low']:.4f} to {accuracy['high']:.4f} |" in card
    for row in report["robustness"]["grid"]:
        assert f"| {row['name']} | {row['headline']['accuracy']['value']:.4f} | " in card
    for table in report["deduplicated"]["slices"]:
        for row in table["rows"]:
            assert f"| {row['value']} | {row['real'] + row['ai']:,} | {row['accuracy']['value']:.4f} | " in card
    assert f"AUROC of {max(s['auroc']['value'] for s in report['floor']['shortcuts']):.4f}" in card
    assert "## What it is not for" in card


def test_it_is_used_where_no_bundle_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = write_golden(load_bundle(DEFAULT), tmp_path / "golden")
    assert [str(found.verdict) for found in Detector().detect_many(paths)] == [
        path.stem.partition("-")[2] for path in paths
    ]
    app(["detect", "--json", *map(str, paths)], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert {detection["model"]["name"] for detection in found} == {"default"}
