import csv
from pathlib import Path

import msgspec
import numpy as np
import pytest

from pyrite.bundle import PanelInfo, fit_joint, load_panel, save_panel
from pyrite.decision import Policy, decide
from pyrite.errors import BundleError, EvaluationError
from pyrite.scores import (
    ScoreTable,
    calibrate,
    describe_panel,
    judge,
    measure,
    tabulate,
    write_judgements,
    write_rates,
)


def drawn(count: int, seed: int, *, groups: bool = False, ai: bool = True) -> ScoreTable:
    """Return a table of two detectors, with AI images higher by 2."""
    random = np.random.default_rng(seed)
    labels = (np.arange(count) % 2 if ai else np.zeros(count)).astype(np.int8)
    scores = random.normal(size=(count, 1)) + random.normal(size=(count, 2)) + 2 * labels[:, None]
    return ScoreTable(
        name=f"{seed}.csv",
        sha256=f"{seed:064}",
        images=tuple(f"{i}.png" for i in range(count)),
        scores={"a": scores[:, 0], "b": scores[:, 1]},
        labels=labels,
        groups=tuple("xy"[i // 2 % 2] for i in range(count)) if groups else None,
    )


def test_a_panel_is_the_joint_calibration_of_its_table(tmp_path: Path) -> None:
    table = drawn(400, 1, groups=True)
    panel = calibrate(table, halves=True, seed=3)
    assert panel.calibration == fit_joint(table.scores, table.labels, table.groups, halves=True, seed=3)
    assert (panel.data, panel.data_sha256, panel.seed) == ("1.csv", table.sha256, 3)
    save_panel(panel, tmp_path / "panel.json")
    read, digest = load_panel(tmp_path / "panel.json")
    assert read == panel
    assert len(digest) == 64


def test_what_calibrated_a_panel_is_told_with_counts() -> None:
    table = drawn(400, 1, groups=True)
    assert describe_panel(calibrate(table, keep=60), table) == (
        "2 detectors: a, b",
        "real, x: 100 images, 60 of them kept",
        "real, y: 100 images, 60 of them kept",
        "AI, x: 100 images, 60 of them kept",
        "AI, y: 100 images, 60 of them kept",
    )
    real = drawn(100, 1, ai=False)
    assert describe_panel(calibrate(real), real)[1:] == (
        "real, all: 100 images",
        "There are no AI images, so this panel can say ai and uncertain, but never real.",
    )


def test_tables_that_calibrate_nothing_are_refused() -> None:
    table = drawn(20, 1)
    only_ai = table.select(np.flatnonzero(table.labels == 1))
    with pytest.raises(EvaluationError, match="no real images with a score, and 10 AI images"):
        calibrate(only_ai)
    for column, message in (
        (np.full(20, 0.5), r"c has the same score, 0\.5, for all 20 images.*--columns"),
        (np.full(20, np.nan), "c has no score of any of the 20 images"),
    ):
        bad = ScoreTable("x.csv", "", table.images, {**table.scores, "c": column}, table.labels)
        with pytest.raises(EvaluationError, match=message):
            calibrate(bad)
    with pytest.raises(EvaluationError, match="no labels"):
        calibrate(ScoreTable("x.csv", "", table.images, table.scores))


@pytest.mark.parametrize("text", ["", "{}", "[", '{"format": 2}', "\xff"])
def test_files_that_are_no_panel_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "panel.json"
    path.write_text(text, "latin-1")
    with pytest.raises(BundleError, match=r"panel\.json is not a panel"):
        load_panel(path)
    with pytest.raises(BundleError, match="cannot be read"):
        load_panel(tmp_path / "none.json")
    with pytest.raises(BundleError, match="cannot be written"):
        save_panel(calibrate(drawn(20, 1)), tmp_path / "none" / "panel.json")


def test_a_panel_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "panel.json"
    content = msgspec.to_builtins(calibrate(drawn(20, 1))) | {"more": 1}
    path.write_bytes(msgspec.json.encode(content))
    with pytest.raises(BundleError, match="more"):
        load_panel(path)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(content, PanelInfo)


def test_verdicts_follow_from_the_p_values_as_everywhere(tmp_path: Path) -> None:
    fitted = calibrate(drawn(800, 1)).calibration
    new = drawn(300, 2)
    new.scores["a"][:2] = np.nan
    new.scores["b"][0] = np.nan
    policy = Policy(max_fpr=0.1)
    found = judge(new, fitted, policy)
    assert found.p_ai is not None
    for i, (p, q) in enumerate(zip(found.p_real, found.p_ai, strict=True)):
        expected = decide(None, None, False, policy) if i == 0 else decide(float(p), float(q), True, policy)
        assert (found.verdicts[i], found.reasons[i]) == expected
    assert sum(found.counts.values()) == 300
    assert set(found.counts) == {"ai", "real", "uncertain"}
    assert (found.verdicts[0], found.reasons[0]) == ("uncertain", "out_of_scope")
    write_judgements(found, tmp_path / "verdicts.csv")
    rows = list(csv.DictReader((tmp_path / "verdicts.csv").read_text().splitlines()))
    assert list(rows[0]) == ["image", "verdict", "reason", "p_real", "p_ai", "max_fpr", "p_real:a", "p_real:b"]
    assert [row["verdict"] for row in rows] == list(found.verdicts)
    assert [rows[0][name] for name in ("p_real", "p_ai", "p_real:a", "p_real:b")] == [""] * 4
    assert rows[1]["p_real:a"] == ""
    assert float(rows[1]["p_real:b"]) == found.single["b"][1]
    assert [float(row["p_real"]) for row in rows[1:]] == found.p_real[1:].tolist()


def test_names_of_images_cannot_run_as_formulas(tmp_path: Path) -> None:
    table = drawn(40, 1)
    evil = ScoreTable("x.csv", "", ("=1+1", *table.images[1:]), table.scores)
    write_judgements(judge(evil, calibrate(table).calibration, Policy()), tmp_path / "v.csv")
    assert '"\'=1+1"' in (tmp_path / "v.csv").read_text()


def test_figures_are_counts_of_verdicts() -> None:
    fitted = calibrate(drawn(2000, 1)).calibration
    new = drawn(1000, 2, groups=True)
    found = measure(new, fitted, [0.01, 0.1])
    assert (found.images, found.real, found.ai) == (1000, 500, 500)
    for i, budget in enumerate((0.01, 0.1)):
        verdicts = np.array(judge(new, fitted, Policy(max_fpr=budget)).verdicts)
        row = found.panel.budgets[i]
        assert row.max_fpr == budget
        assert row.false_alarms.value == np.mean(verdicts[new.labels == 0] == "ai")
        assert row.found.value == np.mean(verdicts[new.labels == 1] == "ai")
        assert row.false_alarms.low <= row.false_alarms.value <= row.false_alarms.high
        assert row.false_alarms.low <= budget
        assert row.found.value > found.detectors[0].budgets[i].found.value
        for group in found.groups:
            inside = (np.array(new.groups) == group.group) & (new.labels == (group.kind == "AI"))
            assert group.images == inside.sum() == 250
            assert group.called_ai[i].value == np.mean(verdicts[inside] == "ai")
    assert [(group.kind, group.group) for group in found.groups] == [
        ("real", "x"), ("real", "y"), ("AI", "x"), ("AI", "y"),
    ]  # fmt: skip
    assert [row.name for row in found.detectors] == ["a", "b"]
    # Two normal variables of variance 2, two apart: Φ(1) = 0.841.
    assert all(row.auroc.value == pytest.approx(0.841, abs=0.03) for row in found.detectors)
    assert len(tabulate(found, [0.01, 0.1])) == 2


def test_a_detector_by_itself_has_its_own_p_values() -> None:
    table, new = drawn(2000, 1, ai=False), drawn(1000, 2)
    found = measure(new, calibrate(table).calibration, [0.05])
    for name, row in zip("ab", found.detectors, strict=True):
        alone = ScoreTable("x.csv", "", table.images, {name: table.scores[name]}, table.labels)
        p = calibrate(alone, merge="bonferroni").calibration.p_real({name: new.scores[name]})
        assert row.budgets[0].found.value == np.mean(p[new.labels == 1] <= 0.05)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_has_the_figures_of_that_class(label: int) -> None:
    new = drawn(200, 2)
    one = new.select(np.flatnonzero(new.labels == label))
    found = measure(one, calibrate(drawn(400, 1)).calibration, [0.05])
    row = found.panel.budgets[0]
    assert (row.false_alarms is None, row.found is None) == (bool(label), not label)
    assert found.panel.auroc is None
    assert len(tabulate(found, [0.05])) == 1


def test_images_without_a_score_count_as_not_found() -> None:
    fitted = calibrate(drawn(400, 1)).calibration
    new = drawn(200, 2)
    before = measure(new, fitted, [0.05]).panel.budgets[0].found.value
    for column in new.scores.values():
        column[:100] = np.nan
    found = measure(new, fitted, [0.05])
    assert found.images == 200
    assert 0 < found.panel.budgets[0].found.value < before
    assert found.panel.auroc is not None


def test_figures_are_written_with_where_they_came_from(tmp_path: Path) -> None:
    found = measure(drawn(200, 2), calibrate(drawn(400, 1)).calibration, [0.05])
    path = tmp_path / "figures.json"
    write_rates(found, path, table="2.csv", table_sha256="t", panel_sha256="p", told=("one",))
    read = msgspec.json.decode(path.read_bytes())
    assert {"format", "command", "commit", "packages", "table", "table_sha256", "panel_sha256", "told"} < set(read)
    assert read["panel"]["budgets"][0]["found"]["value"] == found.panel.budgets[0].found.value
    with pytest.raises(EvaluationError, match="cannot be written"):
        write_rates(found, tmp_path / "no" / "x", table="", table_sha256="", panel_sha256="", told=())
