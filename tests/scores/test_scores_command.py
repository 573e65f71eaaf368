"""`pyrite scores`, from tables to figures."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(run_pyrite: Run) -> Run:
    """Run `pyrite scores`, with stdout and stderr on one line each."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code, out, err = run_pyrite("scores", *arguments)
        return code, " ".join(out.split()), " ".join(err.split())

    return run


def write(path: Path, seed: int, count: int = 600, *, flip: bool = False, constant: bool = False) -> Path:
    random = np.random.default_rng(seed)
    lines = ["image,label,group,a,b" + (",c" if constant else "")]
    for i in range(count):
        a, b = random.normal(size=2) + random.normal() + 3 * (i % 2)
        values = f"{a},{-b if flip else b}" + (",0.5" if constant else "")
        lines.append(f"{seed}-{i}.png,{'ai' if i % 2 else 'real'},{'xy'[i // 2 % 2]},{values}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def panel(run: Run, tmp_path: Path) -> Path:
    code, out, err = run("calibrate", write(tmp_path / "cal.csv", 1), "--out", tmp_path / "panel.json")
    assert (code, err) == (0, "")
    assert "2 detectors: a, b real, x: 150 images real, y: 150 images" in out
    assert "Smallest error budget it can keep: " in out
    return tmp_path / "panel.json"


def test_new_images_are_judged(run: Run, panel: Path, tmp_path: Path) -> None:
    table = tmp_path / "new.csv"
    table.write_text("image,b,a\nhigh.png,9,9\nlow.png,-9,-9\nhalf.png,,9\nnone.png,,\n")
    code, out, err = run("judge", table, "--panel", panel, "--max-fpr", 0.02, "--out", tmp_path / "verdicts.csv")
    assert code == 0
    assert "4 images: 1 ai, 1 real, 2 uncertain, at an error budget of 0.02." in out
    assert "b has no score for 2 of 4 images" in err
    assert "No detector has a score for 1 of 4 images." in err
    rows = (tmp_path / "verdicts.csv").read_text().splitlines()
    assert rows[1].startswith('"high.png","ai","pixels",0.00')
    assert rows[4].startswith('"none.png","uncertain","out_of_scope","","",0.02')


def test_a_budget_that_cannot_be_kept_is_refused(run: Run, panel: Path, tmp_path: Path) -> None:
    new = write(tmp_path / "new.csv", 2, 20)
    code, out, err = run("judge", new, "--panel", panel, "--max-fpr", 0.001, "--out", tmp_path / "v.csv")
    assert (code, out) == (1, "")
    assert "An error budget of 0.1% needs at least" in err
    assert "x has 150, y has 150" in err
    assert "--max-fpr must be at least 0.0" in err
    assert not (tmp_path / "v.csv").exists()
    assert run("judge", new, "--panel", panel, "--max-fpr", 1, "--out", tmp_path / "v.csv")[0] == 2


def test_a_panel_is_measured_beside_its_detectors(run: Run, panel: Path, tmp_path: Path) -> None:
    test, figures = write(tmp_path / "test.csv", 2), tmp_path / "figures.json"
    code, out, err = run("evaluate", test, "--panel", panel, "--max-fpr", 0.05, "--max-fpr", 0.1, "--out", figures)
    assert (code, err) == (0, "")
    assert "Called ai, of 300 real and 300 AI images" in out
    read = json.loads(figures.read_text())
    best = max(row["budgets"][0]["found"]["value"] for row in read["detectors"])
    assert read["panel"]["budgets"][0]["found"]["value"] > best
    for row in (read["panel"], *read["detectors"]):
        for rates in row["budgets"]:
            assert rates["false_alarms"]["low"] <= rates["max_fpr"]
            shown = f"{rates['found']['value']:.1%}"
            assert f"{row['name']} │ {100 * rates['max_fpr']:g}% │" in out
            assert shown in out
    assert [(group["kind"], group["group"]) for group in read["groups"]] == [
        ("real", "x"), ("real", "y"), ("AI", "x"), ("AI", "y"),
    ]  # fmt: skip
    pooled = run("evaluate", test, "--panel", panel, "--pooled")[1]
    assert "by group" not in pooled


def test_budgets_that_cannot_be_kept_are_told_beside_the_figures(run: Run, panel: Path, tmp_path: Path) -> None:
    code, out, err = run("evaluate", write(tmp_path / "test.csv", 2), "--panel", panel)
    assert code == 0
    assert "│ 0.1% │" in out
    assert err.count("An error budget of 0.1% needs at least") == 1


def test_the_calibration_table_is_no_test(run: Run, panel: Path, tmp_path: Path) -> None:
    assert "These images calibrated this panel" in run("evaluate", tmp_path / "cal.csv", "--panel", panel)[2]


def test_a_detector_that_points_the_other_way_is_told_of(run: Run, tmp_path: Path) -> None:
    table = write(tmp_path / "cal.csv", 1, flip=True)
    code, _, err = run("calibrate", table, "--out", tmp_path / "p.json", "--pooled")
    assert code == 0
    assert "b ranks real images above AI ones (AUROC 0.0" in err
    assert "a ranks" not in err


def test_detectors_are_chosen_by_name(run: Run, tmp_path: Path) -> None:
    table = write(tmp_path / "cal.csv", 1, constant=True)
    code, _, err = run("calibrate", table, "--out", tmp_path / "p.json")
    assert code == 1
    assert "c has the same score, 0.5, for all 600 images" in err
    assert not (tmp_path / "p.json").exists()
    code, out, _ = run("calibrate", table, "--out", tmp_path / "p.json", "--columns", "a, b", "--merge", "bonferroni")
    assert (code, "2 detectors: a, b" in out) == (0, True)
    # A table that lacks one of them cannot be judged.
    (tmp_path / "new.csv").write_text("image,a\nx,1\n")
    code, _, err = run("judge", tmp_path / "new.csv", "--panel", tmp_path / "p.json", "--out", tmp_path / "v.csv")
    assert (code, "no column 'b' for a detector; it has a" in err) == (1, True)


def test_real_images_alone_make_a_panel_that_never_says_real(run: Run, tmp_path: Path) -> None:
    lines = write(tmp_path / "all.csv", 1).read_text().splitlines()
    (tmp_path / "cal.csv").write_text("\n".join([lines[0], *lines[1::2]]) + "\n")
    code, out, err = run("calibrate", tmp_path / "cal.csv", "--out", tmp_path / "p.json", "--pooled", "--halves")
    assert code == 0
    assert "never real" in out
    assert "no AI images here" in err
    _, out, _ = run("judge", tmp_path / "all.csv", "--panel", tmp_path / "p.json", "--out", tmp_path / "v.csv")
    assert " 0 real, " in out
