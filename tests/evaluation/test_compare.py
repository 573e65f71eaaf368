import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.stats import norm

import pyrite
from painting import paint
from pyrite.bundle import Bundle, PanelInfo, describe_members, fit_joint, save_bundle, save_panel
from pyrite.datasets import Dataset
from pyrite.decision import Scope
from pyrite.errors import EvaluationError
from pyrite.evaluation import Comparison, compare, evaluate
from pyrite.evaluation.metrics import VerdictRow, generator_rows, headline
from pyrite.evaluation.paired import delong, differences, kappa, mcnemar, resample_together
from pyrite.evaluation.scores import Scores

# The bundle's logit is (brightness - 127.5) / 10, and its probability sigmoid(logit + 0.5).
IMAGES = {
    "REAL": {"sea/a": 60, "sea/b": 80, "land/c": 126, "land/d": 180},
    "FAKE": {"sea/a": 200, "sea/b": 210, "land/c": 90, "land/d": 201},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for label, images in IMAGES.items():
        for name, brightness in images.items():
            paint(root / label / f"{name}.png", brightness)
    (root / "FAKE" / "land" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return root


@pytest.fixture(scope="module")
def dark(bundle: Bundle, build_model: Callable[..., bytes], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A detector that takes dark images for AI."""
    files = {**bundle.files, "model.onnx": build_model(scale=-0.1)}
    info = msgspec.structs.replace(bundle.info, name="dark", version="2")
    return save_bundle(tmp_path_factory.mktemp("bundles") / "dark", info, files)


def make(labels: list[int], values: list[float], verdicts: list[str] | None = None) -> Scores:
    said = verdicts or ["ai" if value > 0.5 else "real" for value in values]
    return Scores(np.array(labels, np.int8), np.array(values, np.float64), np.array(said))


def test_mcnemar_by_hand() -> None:
    first = np.array([1, 1, 1, 1, 1, 0, 0, 1], np.bool_)
    second = np.array([1, 0, 0, 0, 0, 1, 0, 1], np.bool_)
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (4, 1)
    assert found.p_value == pytest.approx(2 * (1 + 5) / 2**5)  # P(0 or 1 of 5 heads), and as much on the other side.
    assert mcnemar(first, first).p_value == 1


def placed(labels: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compare every AI image with every real one, one pair at a time."""
    ai, real = values[labels == 1], values[labels == 0]
    wins = np.array([[(a > r) + 0.5 * (a == r) for r in real] for a in ai], float)
    return wins.mean(axis=1), wins.mean(axis=0)


def brute_delong(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return the difference and its p-value by the paper's matrices S10 and S01."""
    of_ai, of_real = zip(placed(labels, first), placed(labels, second), strict=True)
    covariance = np.cov(of_ai) / len(of_ai[0]) + np.cov(of_real) / len(of_real[0])
    difference = of_ai[0].mean() - of_ai[1].mean()
    error = np.sqrt(np.array([1, -1]) @ covariance @ np.array([1, -1]))
    return difference, 2 * norm.sf(abs(difference) / error)


@pytest.mark.parametrize("decimals", [1, 12])
@pytest.mark.parametrize("seed", range(5))
def test_delong_agrees_with_the_definition_with_and_without_ties(decimals: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = np.array([0] * 40 + [1] * 25, np.int8)
    shared = random.normal(size=65) + labels
    first, second = ((shared + random.normal(size=65)).round(decimals) for _ in range(2))
    found = delong(labels, first, second)
    assert found is not None
    difference, p_value = brute_delong(labels, first, second)
    assert found.difference.value == pytest.approx(difference, abs=1e-6)
    assert found.p_value == pytest.approx(p_value, abs=1e-6)
    assert (found.difference.low > 0 or found.difference.high < 0) == (p_value < 0.05)


def test_delong_by_hand() -> None:
    # Of the AI images the first has 2 and 1 of the two real ones below, the second 1 and 1: AUROC 3/4 and 2/4.
    labels = np.array([0, 0, 1, 1], np.int8)
    found = delong(labels, np.array([1.0, 3.0, 4.0, 2.0]), np.array([1.0, 4.0, 2.0, 3.0]))
    assert found is not None
    # Placements differ by 1/2 and 0 on AI images and by 0 and 1/2 on real ones: variances of 1/8, over 2 images each.
    assert found.difference.value == 0.25
    assert found.p_value == pytest.approx(2 * norm.sf(0.25 / np.sqrt(1 / 8 / 2 + 1 / 8 / 2)))


def test_delong_where_nothing_varies() -> None:
    labels, values = np.array([0, 0, 1, 1], np.int8), np.array([1.0, 2.0, 3.0, 4.0])
    same, opposite = delong(labels, values, values**3), delong(labels, values, -values)
    assert same is not None
    assert opposite is not None
    assert (same.difference.value, same.p_value) == (0, 1)
    assert (opposite.difference.value, opposite.p_value) == (1, None)
    assert delong(labels[:3], values[:3], values[:3]) is None


def test_under_the_null_the_p_values_of_delong_are_uniform() -> None:
    random, draws, low = np.random.default_rng(0), 400, []
    labels = np.array([0] * 120 + [1] * 120, np.int8)
    for _ in range(draws):
        shared = labels + random.normal(size=240)
        found = delong(labels, *(shared + random.normal(size=240) for _ in range(2)))
        assert found is not None
        assert found.p_value is not None
        low.append([found.p_value < level for level in (0.05, 0.5)])
    for level, rate in zip((0.05, 0.5), np.mean(low, axis=0), strict=True):
        assert abs(rate - level) < 3.1 * np.sqrt(level * (1 - level) / draws)


def test_paired_intervals_hang_on_the_seed_and_know_that_images_are_shared() -> None:
    random = np.random.default_rng(3)
    labels = np.array([0, 1] * 300, np.int8)
    base = labels + random.normal(size=600)
    first, second = (
        Scores(labels, 1 / (1 + np.exp(0.5 - values)), np.array(["uncertain"] * 600))
        for values in (base, base + 0.1 * random.normal(size=600))
    )
    found = [differences(*resample_together([first, second], seed=seed)) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    apart, alone = found[0].auroc, headline(first).auroc
    assert apart is not None
    assert alone is not None
    assert apart.low <= apart.value <= apart.high
    assert apart.high - apart.low < (alone.high - alone.low) / 3
    exact = delong(labels, first.values, second.values)
    assert exact is not None
    assert (apart.low, apart.high) == pytest.approx((exact.difference.low, exact.difference.high), abs=0.002)
    same = differences(*resample_together([first, first]))
    assert all((m.value, m.low, m.high) == (0, 0, 0) for m in (same.auroc, same.accuracy, same.tpr_at_fpr_1) if m)


def test_kappa_by_hand() -> None:
    first = make([0, 0, 1, 1], [0.1, 0.9, 0.9, 0.9])
    second = make([0, 0, 1, 1], [0.1, 0.1, 0.9, 0.9])
    assert kappa(first, second) == pytest.approx((0.75 - 0.5) / (1 - 0.5))
    assert kappa(first, first) == 1
    assert kappa(make([1], [0.9]), make([1], [0.8])) is None


def test_each_generator_against_all_real_images() -> None:
    scores = make([0, 0, 1, 1, 1], [0.1, 0.6, 0.5, 0.7, 0.9])
    one, other = generator_rows(["", "", "sd", "gan", "gan"], scores)
    assert (one.generator, one.images, one.auroc.value, one.average_precision.value) == ("gan", 2, 1, 1)
    assert (other.generator, other.images, other.auroc.value, other.average_precision.value) == ("sd", 1, 0.5, 0.5)
    assert (one.auroc.low, one.average_precision.low) == (1, 1)
    assert 0 <= other.average_precision.low <= 0.5 <= other.average_precision.high <= 1
    assert generator_rows(["sd"] * 5, scores) == ()
    assert generator_rows(["a", "b"], make([1, 1], [0.1, 0.9])) == ()


def test_the_interval_of_a_generators_figures_is_that_of_the_headline() -> None:
    random = np.random.default_rng(0)
    labels = np.array([0, 1] * 2000, np.int8)
    values = 1 / (1 + np.exp(-labels - random.normal(size=4000)))
    names = np.array(["", "a", "", "b"] * 1000)
    row = generator_rows(names.tolist(), Scores(labels, values, np.array(["real"] * 4000)))[0]
    whole = headline(Scores(labels, values, np.array(["real"] * 4000)).select((labels == 0) | (names == "a")))
    for own, expected in ((row.auroc, whole.auroc), (row.average_precision, whole.average_precision)):
        assert expected is not None
        assert (own.value, own.low, own.high) == pytest.approx((expected.value, expected.low, expected.high), abs=0.004)


def test_two_bundles_by_hand(bundle: Bundle, dark: Bundle, folder: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    found = compare([bundle, dark], folder, out=tmp_path / "out", watch=lambda *step: steps.append(step))
    assert (found.images, found.real, found.ai, found.note) == (8, 4, 4, None)
    assert [file.path for file in found.unreadable] == ["FAKE/land/broken.png"]
    assert [one.name for one in found.competitors] == ["brightness 1", "dark 2"]
    bright, night = found.competitors
    assert bright.headline == evaluate(bundle, folder).as_is.headline
    assert bright.verdicts == (VerdictRow(ai=1, real=3, uncertain=0), VerdictRow(ai=3, real=1, uncertain=0))
    assert night.verdicts == (VerdictRow(ai=3, real=1, uncertain=0), VerdictRow(ai=1, real=3, uncertain=0))
    assert bright.bytes == sum(path.stat().st_size for path in bundle.path.iterdir() if path.name != "bundle.json")
    assert bright.images_per_second > 0
    assert {stage for stage, _, _ in steps} == {"Judging with brightness", "Judging with dark"}
    (pair,) = found.pairs
    # Of 16 pairs the first ranks 14 rightly, and the second the other 2.
    assert pair.differences.auroc.value == pytest.approx(12 / 16)
    assert pair.delong.difference.value == pytest.approx(12 / 16)
    # By its verdict the first is right about 3 real and 3 AI images, the second about the others.
    assert (pair.mcnemar_verdict.only_first, pair.mcnemar_verdict.only_second) == (6, 2)
    assert pair.mcnemar_verdict.p_value == pytest.approx(2 * (1 + 8 + 28) / 2**8)
    # At 126 the probability is above 0.5 by both.
    assert (pair.mcnemar_accuracy.only_first, pair.mcnemar_accuracy.only_second) == (5, 2)
    assert pair.mcnemar_accuracy.p_value == pytest.approx(2 * (1 + 7 + 21) / 2**7)
    assert pair.agreement[1]["ai"] == VerdictRow(ai=0, real=3, uncertain=0)
    assert pair.counts == (3, 1)
    assert {one.path for one in pair.only_first} == {"FAKE/sea/a.png", "FAKE/sea/b.png", "FAKE/land/d.png"}
    assert [(one.path, one.first, one.second) for one in pair.only_second] == [("FAKE/land/c.png", "real", "ai")]
    (table,) = found.slices
    assert (table.column, [(row.value, row.real, row.ai) for row in table.rows]) == (
        "folder",
        [("land", 2, 2), ("sea", 2, 2)],
    )
    assert [one.auroc.value for one in table.rows[1].competitors] == [1, 0]
    assert msgspec.json.decode((tmp_path / "out" / "compare.json").read_bytes(), type=Comparison) == found
    assert (tmp_path / "out" / "roc.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "<h1>brightness 1 <small>against dark 2</small></h1>" in page
    assert "FAKE/land/broken.png" in page
    assert page.count("<svg") == 1
    assert page.count("data:image/png;base64,") == 4


def figures(found: Comparison) -> Comparison:
    """Return the comparison without what hangs on who judged."""
    competitors = [
        replace(one, from_scores=False, images_per_second=None, bytes=None, caution=None) for one in found.competitors
    ]
    return replace(found, competitors=tuple(competitors), part=replace(found.part, why=""), command="")


def test_scores_stand_for_their_bundle(bundle: Bundle, dark: Bundle, folder: Path, tmp_path: Path) -> None:
    evaluate(bundle, folder, out=tmp_path / "bright")
    evaluate(dark, folder, others=[bundle], out=tmp_path / "both")
    files = tmp_path / "bright" / "scores.parquet", tmp_path / "both" / "scores.parquet"
    table = pq.read_table(files[0])
    assert table.column_names == [
        "path", "sha256", "label", "slice:folder", "logit", "probability", "p_real", "p_ai", "verdict", "reason"
    ]  # fmt: skip
    assert table.num_rows == 8
    assert pq.read_table(files[1])["logit"].null_count == 8
    expected = figures(compare([bundle, f"{dark.path}+{bundle.path}"], folder))
    assert [one.name for one in expected.competitors] == ["brightness 1", "dark+brightness 2+1"]
    assert expected.competitors[1].headline.accuracy is None
    for chosen in ((files[0], f"{dark.path}+{bundle.path}"), (bundle, files[1]), files):
        found = compare(chosen, folder)
        assert [one.from_scores for one in found.competitors] == [str(one).endswith("t") for one in chosen]
        assert [one.bytes is None for one in found.competitors] == [str(one).endswith("t") for one in chosen]
        assert figures(found) == expected


def test_images_that_are_in_no_file_of_scores_are_left_out(bundle: Bundle, dark: Bundle, folder: Path) -> None:
    out = folder.parent / "out"
    evaluate(bundle, folder, limit=5, out=out)
    found = compare([out / "scores.parquet", dark], folder)
    assert found.images + len(found.unreadable) == 5
    assert "Of its 9 images, 5 have scores in every file that was given." in found.part.why
    (folder / "REAL" / "sea").rename(folder / "REAL" / "lake")
    (folder / "REAL" / "land").rename(folder / "REAL" / "soil")
    (folder / "FAKE" / "sea").rename(folder / "FAKE" / "lake")
    (folder / "FAKE" / "land").rename(folder / "FAKE" / "soil")
    with pytest.raises(EvaluationError, match="evaluate again where files were renamed"):
        compare([out / "scores.parquet", dark], folder)


def test_scores_of_other_data_or_of_another_budget_are_refused(
    bundle: Bundle, dark: Bundle, folder: Path, tmp_path: Path
) -> None:
    evaluate(bundle, folder, out=tmp_path / "out")
    scores = tmp_path / "out" / "scores.parquet"
    with pytest.raises(EvaluationError, match=r"at one error budget, not at 0\.02 and 0\.05"):
        compare([scores, dark], folder, max_fpr=0.02)
    paint(folder / "REAL" / "sea" / "e.png", 70)
    with pytest.raises(EvaluationError, match=r"brightness 1 are of other data \(data\): content, labels or splits"):
        compare([scores, dark], folder)


@pytest.mark.parametrize("content", [b"", b"PAR1 and no more", None])
def test_what_is_no_file_of_scores_is_refused(
    dark: Bundle, folder: Path, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "odd.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EvaluationError, match=r"odd\.parquet is no scores\.parquet that this version understands"):
        compare([path, dark], folder)


def test_a_table_that_only_looks_like_scores_is_refused(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    evaluate(bundle, folder, out=tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "scores.parquet")
    odd = table.set_column(8, "verdict", [["fake"] * 8])
    for name, changed in (
        ("plain", table.replace_schema_metadata(None)),
        ("short", table.drop(["p_ai"])),
        ("odd", odd),
    ):
        pq.write_table(changed, tmp_path / f"{name}.parquet")
        with pytest.raises(EvaluationError, match=f"{name}.parquet is no scores"):
            compare([tmp_path / f"{name}.parquet", bundle], folder)


def test_a_panel_competes_like_a_bundle(bundle: Bundle, dark: Bundle, folder: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    scores = {name: random.normal(size=200) for name in ("brightness", "dark")}
    joint = fit_joint(scores, np.repeat([0, 1], 100).astype(np.int8))
    info = PanelInfo(
        calibration=joint, bundles=describe_members([bundle, dark], tmp_path / "panel.json"), data="", data_sha256="",
        seed=0, command="", commit=None, packages={},
    )  # fmt: skip
    save_panel(info, tmp_path / "panel.json")
    found = compare([tmp_path / "panel.json", bundle, f"{bundle.path}+{dark.path}", bundle], folder)
    assert [one.name for one in found.competitors] == [
        "brightness+dark 1+2", "brightness 1", "brightness+dark 1+2 (2)", "brightness 1 (2)"
    ]  # fmt: skip
    assert [one.headline.accuracy is None for one in found.competitors] == [True, False, True, False]
    assert found.competitors[0].sha256 != found.competitors[2].sha256
    assert len(found.pairs) == 6
    assert [pair.second for pair in found.pairs[:3]] == [one.name for one in found.competitors[1:]]
    own = found.pairs[4]
    assert (own.first, own.second) == ("brightness 1", "brightness 1 (2)")
    assert (own.kappa, own.delong.p_value, own.mcnemar_accuracy.p_value) == (1, 1, 1)


@pytest.mark.parametrize(("kept", "absent"), [("REAL", "AI"), ("FAKE", "real")])
def test_one_class_alone_has_no_ranking_and_says_so(
    bundle: Bundle, dark: Bundle, folder: Path, tmp_path: Path, kept: str, absent: str
) -> None:
    dataset = Dataset.open(folder)
    label = int(kept == "FAKE")
    found = compare([bundle, dark], dataset.select(np.flatnonzero(dataset.labels == label)), out=tmp_path / "out")
    assert found.note == f"There are no {absent} images, so there is no AUROC and no TPR at an FPR."
    assert found.competitors[0].headline.auroc is found.competitors[0].roc is None
    assert found.pairs[0].differences.auroc is found.pairs[0].delong is None
    assert found.pairs[0].differences.accuracy is not None
    assert not (tmp_path / "out" / "roc.png").exists()
    assert found.note in (tmp_path / "out" / "compare.html").read_text()


def test_bundles_of_other_budgets_are_brought_to_one(
    bundle: Bundle, dark: Bundle, folder: Path, tmp_path: Path
) -> None:
    policy = msgspec.structs.replace(dark.info.policy, max_fpr=0.02)
    strict = replace(dark, info=msgspec.structs.replace(dark.info, policy=policy))
    assert compare([bundle, strict], folder).max_fpr == 0.05
    found = compare([bundle, strict], folder, max_fpr=0.02)
    assert found.max_fpr == 0.02
    assert found.competitors[1].verdicts == tuple(evaluate(strict, folder).as_is.verdicts)
    # Also where they judge as one, and one of them has this budget of its own already.
    scope = Scope(min_side=bundle.info.scope.max_side + 1, max_side=None, description="large images")
    for_large = save_bundle(
        tmp_path / "large", msgspec.structs.replace(bundle.info, name="large", scope=scope), bundle.files
    )
    kept = save_bundle(tmp_path / "strict", strict.info, strict.files)
    large = tmp_path / "images"
    for number, brightness in enumerate((60, 80, 200, 210)):
        path = large / ("real", "ai")[number // 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 80), (brightness,) * 3).save(path)
    found = compare([f"{kept.path}+{for_large.path}", for_large], large, max_fpr=0.02)
    assert found.competitors[0].verdicts == found.competitors[1].verdicts
    with pytest.raises(EvaluationError, match=r"different error budgets, 0\.02 and 0\.05\. Choose one with --max-fpr"):
        evaluate(kept, large, others=[for_large])


def test_a_bundle_that_nothing_has_calibrated_competes_by_its_ranking(bundle: Bundle, folder: Path) -> None:
    calibration = msgspec.structs.replace(bundle.info.calibration, slope=None, intercept=None, real={}, ai={})
    plain = replace(bundle, info=msgspec.structs.replace(bundle.info, name="plain", calibration=calibration))
    found = compare([plain, bundle], folder, max_fpr=0.02)
    assert found.competitors[0].headline.auroc == found.competitors[1].headline.auroc
    assert found.competitors[0].headline.accuracy is found.pairs[0].mcnemar_accuracy is None
    assert found.pairs[0].differences.accuracy is None
    assert found.competitors[0].verdicts[1].uncertain == 4


def test_a_hostile_name_stays_text(bundle: Bundle, dark: Bundle, tmp_path: Path) -> None:
    for label, brightness in (("REAL", 60), ("FAKE", 200)):
        paint(tmp_path / "data" / label / f"<script>{brightness}.png", brightness)
    odd = replace(dark, info=msgspec.structs.replace(dark.info, name="dark $x_$ & <b>"))
    compare([bundle, odd], tmp_path / "data", out=tmp_path / "out")
    page = (tmp_path / "out" / "compare.html").read_text()
    assert "<script>" not in page
    assert "<b>" not in page


def test_the_report_has_a_table_of_generators(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    rows = ["path,label,generator"]
    for (label, images), i in product(IMAGES.items(), range(4)):
        rows.append(f"{label}/{list(images)[i]}.png,{label.lower()},{('sd', 'gan')[i % 2] if label == 'FAKE' else ''}")
    (folder / "manifest.csv").write_text("\n".join(rows))
    report = evaluate(bundle, folder, out=tmp_path / "report")
    assert [(row.generator, row.images) for row in report.as_is.generators] == [("gan", 2), ("sd", 2)]
    assert [row.auroc.value for row in report.as_is.generators] == [1, 6 / 8]
    assert "Each generator against all real images" in (tmp_path / "report" / "report.html").read_text()
    found = compare([bundle, bundle], folder)
    assert found.competitors[0].generators == report.as_is.generators


def test_fewer_than_two_detectors_are_no_comparison(bundle: Bundle, folder: Path) -> None:
    with pytest.raises(EvaluationError, match="two detectors or more"):
        pyrite.compare([bundle], folder)


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.usefixtures("wide")
def test_the_command(
    run_pyrite: Callable[..., tuple[int, str, str]], bundle: Bundle, dark: Bundle, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, said, told = run_pyrite("compare", bundle.path, dark.path, folder, "--out", out, "--max-fpr", "0.05")
    assert code == 1  # One file could not be judged.
    assert "One file could not be judged: FAKE/land/broken.png; see the comparison." in told
    assert "8 images of data" in said
    assert "brightness 1 minus dark 2: AUROC +0.7500" in said
    assert f"Comparison: {out / 'compare.html'}" in said
    found = json.loads((out / "compare.json").read_bytes())
    assert found["command"].startswith("pyrite compare")
    (folder / "FAKE" / "land" / "broken.png").unlink()
    assert run_pyrite("compare", bundle.path, dark.path, folder, "--out", out, "--limit", 4, "--seed", 1)[0] == 0
    assert json.loads((out / "compare.json").read_bytes())["images"] == 4
    code, _, told = run_pyrite("compare", bundle.path, folder, "--out", out)
    assert code == 2
    assert "at least two detectors" in told
