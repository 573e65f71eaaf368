import hashlib
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from painting import paint
from pyrite.bundle import Bundle, DataInfo, Panel, TrainingInfo, save_bundle
from pyrite.datasets import Dataset, Labelling, Protocol, content_hashes, content_sha256, make_toy, remember
from pyrite.datasets.storage import FolderStorage
from pyrite.errors import BundleError, EvaluationError, PyriteError
from pyrite.evaluation import Chosen, Part, Report, evaluate, measure
from pyrite.evaluation.choose import choose, own_split
from pyrite.evaluation.judge import show
from pyrite.evaluation.metrics import VerdictRow
from pyrite.evaluation.plots import Epoch

# The bundle's logit is (brightness - 127.5) / 10 and its probability sigmoid(logit + 0.5).
ALL = Part("all", "")
TEST = {
    "REAL": {"sea/a": 60, "sea/b": 80, "land/c": 126, "land/d": 180},
    "FAKE": {"sea/a": 200, "sea/b": 210, "land/c": 90, "land/d": 200},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for label, images in TEST.items():
        for name, brightness in images.items():
            paint(root / "test" / label / f"{name}.png", brightness)
    for i in range(12):
        paint(root / "train" / "REAL" / "sea" / f"{i}.png", 10 + i)
        paint(root / "train" / "FAKE" / "sea" / f"{i}.png", 210 + i)
    (root / "test" / "FAKE" / "land" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (root / "test" / "REAL" / "land" / "empty.png").write_bytes(b"")
    return root


def trained_on(bundle: Bundle, dataset: Dataset, protocol: Protocol) -> Bundle:
    data = DataInfo(
        name=dataset.name,
        sha256="",
        fingerprint=dataset.fingerprint,
        protocol=protocol,
        fractions=(0.4, 0.3, 0.3),
        train=0,
        validation=0,
        test=0,
    )
    training = TrainingInfo(
        recipe="tiny",
        recipe_sha256="",
        data=data,
        seed=1,
        command="pyrite train",
        commit=None,
        packages={},
        epochs=1,
    )
    return replace(bundle, info=msgspec.structs.replace(bundle.info, training=training))


def test_every_figure_comes_from_the_detector(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    report = evaluate(bundle, folder, out=tmp_path / "out", watch=lambda *step: steps.append(step))
    assert report.part.protocol == "official"
    assert "does not say what it was trained on" in report.part.why
    assert steps == [*(("Judging", i, 10) for i in range(1, 11)), ("Measuring shortcuts", 8, 8)]
    assert report.floor.best is None
    assert report.floor.note.endswith("and here are 4 real and 3 AI.")  # Two of the AI ones are the same.
    assert report.as_is.confusion == ((2, 2), (1, 3))
    assert report.as_is.headline.accuracy.value == 5 / 8
    # At 126 the score is above all but two real calibration images, and below all AI ones, which it is less like.
    assert report.as_is.verdicts == (VerdictRow(ai=1, real=3, uncertain=0), VerdictRow(ai=3, real=1, uncertain=0))
    assert report.reasons == {"pixels": 8}
    assert {(file.path, file.code) for file in report.unreadable} == {
        ("test/FAKE/land/broken.png", "unsupported_format"),
        ("test/REAL/land/empty.png", "empty"),
    }
    # One of the two at 200 repeats the other, and 210 stands in train.
    assert report.copies == 2
    assert report.deduplicated is not None
    assert (report.deduplicated.headline.real, report.deduplicated.headline.ai) == (4, 2)
    (table,) = report.as_is.slices
    assert (table.column, table.worst, [row.accuracy.value for row in table.rows]) == (
        "folder",
        "land",
        [0.25, 1.0],
    )
    assert [mistake.path for mistake in report.false_positives] == [
        "test/REAL/land/d.png",
        "test/REAL/land/c.png",
    ]
    assert report.false_positives[1].probability == pytest.approx(1 / (1 + np.exp(-0.35)))
    assert [mistake.path for mistake in report.false_negatives] == ["test/FAKE/land/c.png"]
    assert report.published is None
    assert report.history is None
    assert msgspec.json.decode((tmp_path / "out" / "report.json").read_bytes(), type=Report) == report
    assert (tmp_path / "out" / "report.html").exists()


def test_the_floor_is_measured_on_what_was_judged(bundle: Bundle, tmp_path: Path) -> None:
    for label, low in (("REAL", 60), ("FAKE", 130)):
        for i in range(30):
            paint(tmp_path / "data" / "test" / label / f"{i}.png", low + i)
            paint(tmp_path / "data" / "train" / label / f"{i}.png", 100 + i)
    floor = evaluate(bundle, tmp_path / "data").floor
    assert floor.images == 60
    assert floor.best is not None
    assert floor.best.auroc.value == 1
    assert next(fact.auroc for fact in floor.facts if fact.name == "mean red") == 1


def test_a_file_that_vanishes_is_listed(bundle: Bundle, folder: Path) -> None:
    dataset = Dataset.open(folder)
    (folder / "test" / "REAL" / "sea" / "a.png").unlink()
    report = evaluate(bundle, dataset)
    assert report.as_is.headline.images == 7
    assert "test/REAL/sea/a.png" in {file.path for file in report.unreadable if file.code == "unreadable"}
    assert report.provenance.data_unreadable == 3  # With the two that are no images.


def test_a_file_that_cannot_be_read_is_listed_beside_a_split_drawn_by_content(bundle: Bundle, tmp_path: Path) -> None:
    make_toy(tmp_path / "toy", count=200)
    dataset = Dataset.open(tmp_path / "toy")
    (tmp_path / "toy" / "test" / "REAL" / "0000.png").unlink()
    report = evaluate(bundle, dataset, protocol="pooled")
    assert [file.path for file in report.unreadable] == ["test/REAL/0000.png"]


def test_cifake_stands_beside_the_published_figures_whatever_it_is_called(bundle: Bundle, tmp_path: Path) -> None:
    for kind in range(10):
        suffix = f" ({kind + 1})" if kind else ""
        for label in ("REAL", "FAKE"):
            paint(tmp_path / "archive" / "test" / label / f"0000{suffix}.jpg", 10 * kind)
    assert evaluate(bundle, tmp_path / "archive").published is not None
    for path in (tmp_path / "archive").rglob("*.jpg"):
        path.rename(path.with_suffix(".png"))
    assert evaluate(bundle, tmp_path / "archive").published is None


def seen(bundle: Bundle, paths: list[Path]) -> Bundle:
    """Return the bundle with the memory of these files, and as trained on something else."""
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    data = DataInfo(
        name="elsewhere", sha256="", fingerprint="", protocol="official", fractions=(0.8, 0.1, 0.1),
        train=0, validation=0, test=0,
    )  # fmt: skip
    training = TrainingInfo(
        recipe="tiny", recipe_sha256="", data=data, seed=1, command="", commit=None, packages={}, epochs=1
    )
    info = msgspec.structs.replace(bundle.info, training=training)
    return replace(bundle, info=info, files={**bundle.files, "trained_on.bin": remember(hashes)})


def test_images_that_were_trained_on_are_told_wherever_they_lie_now(bundle: Bundle, folder: Path) -> None:
    other = seen(bundle, [*(folder / "train" / "REAL" / "sea").iterdir(), folder / "test" / "REAL" / "sea" / "a.png"])
    whole = evaluate(other, folder, protocol="all")
    assert whole.part.caution is not None
    assert whole.part.caution.startswith("13 of the 34 judged images trained this bundle or chose it")
    assert "trained on elsewhere, and 13 of the images here were in that" in whole.part.why
    part = evaluate(other, folder / "test")
    assert part.part.caution is not None
    assert part.part.caution.startswith("1 of the 10 judged images")
    assert evaluate(seen(bundle, []), folder).part.caution is None
    assert "none of the images here was in that" in evaluate(seen(bundle, []), folder).part.why


def test_the_split_that_a_bundle_remembers_is_taken_and_its_groups_stay_out_of_the_test(
    bundle: Bundle, folder: Path
) -> None:
    dataset = Dataset.open(folder)
    hashes = content_hashes(dataset)
    known = [i for i, path in enumerate(dataset.paths) if path.startswith("train/REAL/sea/")][:6]
    remembered = {
        "trained_on.bin": remember([hashes[i] for i in known]),
        "validated_on.bin": remember([hashes[i] for i in known[4:]]),
    }
    own = trained_on(bundle, dataset, "pooled")
    own = replace(own, files={**own.files, **remembered})
    parts = own_split(own, dataset, hashes)
    assert parts is not None
    assert (parts.train.tolist(), parts.validation.tolist()) == (known[:4], known[4:])
    readable = {i for i, value in enumerate(hashes) if value}
    assert set(parts.test.tolist()) == readable - set(known)
    grouped = dataset.grouped_by(None, "^(train|test)/(REAL|FAKE)/sea/")
    assert grouped.groups is not None
    mates = {i for i, group in enumerate(grouped.groups) if group == "train"}
    parts = own_split(own, grouped, hashes)
    assert parts is not None
    assert set(parts.test.tolist()) == readable - mates


def test_a_new_division_of_the_same_images_is_not_taken_for_the_old(bundle: Bundle, folder: Path) -> None:
    dataset = Dataset.open(folder)
    trained = trained_on(bundle, dataset, "official")
    data = msgspec.structs.replace(
        trained.info.training.data, sha256=content_sha256(dataset, content_hashes(dataset)), fingerprint=""
    )
    training = msgspec.structs.replace(trained.info.training, data=data)
    trained = replace(trained, info=msgspec.structs.replace(trained.info, training=training))
    assert "which this bundle’s training held out" in evaluate(trained, folder).part.why
    (folder / "train" / "REAL" / "sea" / "3.png").rename(folder / "test" / "REAL" / "sea" / "3.png")
    assert "is not known" in evaluate(trained, folder).part.why


@pytest.mark.parametrize("protocol", ["official", "all"])
def test_a_file_that_cannot_be_read_is_listed_whatever_is_judged(
    bundle: Bundle, folder: Path, protocol: Protocol
) -> None:
    dataset = Dataset.open(folder)
    (folder / "test" / "REAL" / "sea" / "a.png").unlink()
    assert "test/REAL/sea/a.png" in {file.path for file in evaluate(bundle, dataset, protocol=protocol).unreadable}


def test_the_bundles_own_test_split_is_judged(bundle: Bundle, folder: Path) -> None:
    dataset = Dataset.open(folder)
    report = evaluate(trained_on(bundle, dataset, "official"), dataset)
    assert report.part == Part("official", "The official test split of data, which this bundle’s training held out.", 1)
    assert report.as_is.headline.images == 8
    pooled = evaluate(trained_on(bundle, dataset, "pooled"), dataset)
    assert pooled.part.protocol == "pooled"
    assert pooled.part.caution is None


def test_what_chose_and_calibrated_the_bundle_is_judged_on_request_with_a_caution(bundle: Bundle, folder: Path) -> None:
    dataset = Dataset.open(folder)
    own = trained_on(bundle, dataset, "official")
    report = evaluate(own, dataset, protocol="validation")
    assert report.part.protocol == "validation"
    assert report.part.why == "The validation split of data, which chose and calibrated this bundle."
    count = report.as_is.headline.images
    assert report.part.caution is not None
    assert report.part.caution.startswith(f"{count} of the {count} judged images trained this bundle or chose it")
    assert 0 < count < 23
    with pytest.raises(EvaluationError, match="was not trained on test, none of which chose"):
        evaluate(own, folder / "test", protocol="validation")


def test_judging_training_images_is_said(bundle: Bundle, folder: Path) -> None:
    dataset = Dataset.open(folder)
    report = evaluate(trained_on(bundle, dataset, "official"), dataset, protocol="all")
    assert report.part.caution is not None
    assert report.part.caution.startswith("23 of the 34 judged images trained this bundle or chose it")


def test_all_is_judged_where_no_test_split_is_named(bundle: Bundle, folder: Path) -> None:
    report = evaluate(bundle, folder / "test")
    assert report.part.protocol == "all"
    assert report.part.why.startswith("Every image of test.")
    with pytest.raises(EvaluationError, match="has no test split"):
        evaluate(bundle, folder / "test", protocol="official")


def test_a_limit_reads_nothing_but_what_it_judges(
    bundle: Bundle, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = FolderStorage.read

    def noted(storage: FolderStorage, name: str) -> bytes:
        read.append(name)
        return original(storage, name)

    monkeypatch.setattr(FolderStorage, "read", noted)
    for protocol in ("auto", "official", "all"):
        read.clear()
        report = evaluate(bundle, folder, protocol=protocol, limit=4)
        judged = report.as_is.headline.images + len(report.unreadable)
        assert (judged, len(set(read)), report.provenance.data_images) == (4, 4, 4)
        assert "4 were drawn at random (seed 0), and no others read" in report.part.why
        assert protocol == "all" or all(name.startswith("test/") for name in read)
        assert report.part.drawn


def test_a_page_about_drawn_images_knows_nothing_of_the_others(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    for limit, told in ((4, "anywhere else among the judged images."), (None, "in the data.")):
        evaluate(bundle, folder, protocol="all", limit=limit, out=tmp_path / str(limit))
        page = " ".join((tmp_path / str(limit) / "report.html").read_text().split())
        assert told in page
        assert ("The other images were not read" in page) == (limit is not None)


def test_grouped_images_are_drawn_from_those_whose_groups_are_known(bundle: Bundle, folder: Path) -> None:
    data = Dataset.open(folder, labelling=Labelling(real=("REAL",), ai=("FAKE",)))
    grouped = replace(data, groups=tuple(str(i // 4) for i in range(len(data))))
    chosen = choose(Panel((bundle,)), grouped, "all", 4, 0)
    assert not chosen.part.drawn
    assert len(chosen.dataset) == len(data)


def test_a_limit_passes_over_what_trained_the_bundle(bundle: Bundle, folder: Path) -> None:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    kept_back = {path.relative_to(folder).as_posix() for path in paths[::3]}
    other = seen(bundle, [path for path in paths if path.relative_to(folder).as_posix() not in kept_back])
    panel = Panel((other,))
    flat = Dataset.open(folder, labelling=Labelling(real=("REAL",), ai=("FAKE",)))
    flat = replace(flat, splits=(None,) * len(flat))
    chosen = choose(panel, flat, "auto", 4, 0)
    assert len(chosen.indices) == 4
    assert set(chosen.dataset.paths) <= kept_back
    assert chosen.part.caution is None
    assert "more were drawn and left out, because they trained the bundle or chose it." in chosen.part.why
    everything = choose(panel, flat, "all", 20, 0)
    assert everything.part.caution is not None
    assert "of the 20 judged images trained a bundle or chose it" in everything.part.caution
    with pytest.raises(EvaluationError, match="trained the bundle or chose it"):
        choose(Panel((seen(bundle, paths),)), flat, "auto", 4, 0)


def test_a_limit_draws_at_random_and_says_so(bundle: Bundle, folder: Path) -> None:
    report = evaluate(bundle, folder, protocol="all", limit=5)
    assert report.as_is.headline.images + len(report.unreadable) == 5
    assert "Of its 34 images, 5 were drawn" in report.part.why
    assert report == replace(evaluate(bundle, folder, protocol="all", limit=5), provenance=report.provenance)
    with pytest.raises(EvaluationError, match="at least one"):
        evaluate(bundle, folder, limit=0)


def test_the_error_budget_can_be_chosen(bundle: Bundle, folder: Path) -> None:
    report = evaluate(bundle, folder, max_fpr=0.01)
    assert report.max_fpr == 0.01


def test_nothing_readable_is_an_error(bundle: Bundle, folder: Path) -> None:
    dataset = Dataset.open(folder)
    broken = np.array([dataset.paths.index("test/REAL/land/empty.png")])
    with pytest.raises(EvaluationError, match=r"None of the 1 images .* The file is empty"):
        measure(Panel((bundle,)), Chosen(dataset, content_hashes(dataset), broken, ALL))
    with pytest.raises(EvaluationError, match="None of the 0 images"):
        measure(Panel((bundle,)), Chosen(dataset, content_hashes(dataset), broken[:0], ALL))


def test_the_history_is_found_in_the_bundle(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(folder)
    epochs = [
        {
            "epoch": 1,
            "loss": 0.5,
            "accuracy": 0.7,
            "val_loss": 0.6,
            "val_accuracy": 0.6,
            "learning_rate": 0.1,
            "seconds": 2.0,
            "auc": 1.0,
        }
    ]
    first = measure(Panel((bundle,)), Chosen(dataset, content_hashes(dataset), np.arange(8), ALL), history=epochs)
    expected = Epoch(epoch=1, loss=0.5, accuracy=0.7, val_loss=0.6, val_accuracy=0.6, learning_rate=0.1, seconds=2.0)
    assert first.history == (expected,)
    kept = save_bundle(tmp_path / "kept", bundle.info, {**bundle.files, "report.json": first.to_json()})
    assert evaluate(kept, folder).history == (expected,)
    odd = save_bundle(tmp_path / "odd", bundle.info, {**bundle.files, "report.json": b"[]"})
    with pytest.raises(BundleError, match=r"report\.json of the bundle brightness"):
        evaluate(odd, folder)


def recalibrated(bundle: Bundle, **calibration: object) -> Bundle:
    changed = msgspec.structs.replace(bundle.info.calibration, **calibration)
    return replace(bundle, info=msgspec.structs.replace(bundle.info, calibration=changed))


def assert_without_probability(report: Report, out: Path) -> None:
    """Say that nothing in the report needs a probability, and that it says so."""
    assert report.no_probability is not None
    figures, headline = report.as_is, report.as_is.headline
    assert headline.accuracy is headline.f1 is headline.ece is headline.brier is None
    assert figures.confusion is figures.histogram is None
    assert figures.classes == figures.slices == figures.reliability == ()
    assert [mistake.probability for mistake in (*report.false_positives, *report.false_negatives)] == [None] * len(
        (*report.false_positives, *report.false_negatives)
    )
    assert msgspec.json.decode((out / "report.json").read_bytes(), type=Report) == report
    page = (out / "report.html").read_text()
    assert report.no_probability in page
    for absent in ("Brier score</th>", "Reliability", "Confusion", ">None<", "By class", "By folder", "Accuracy</th>"):
        assert absent not in page.replace('<th class="n">Accuracy</th>', "")
    assert {path.stem for path in (out / "figures").glob("*.png")} <= {"roc", "precision-recall", "robustness"}
    assert "AUROC" in page


def test_several_bundles_are_measured_as_one(bundle: Bundle, folder: Path, tmp_path: Path) -> None:
    # The second takes larger images alone, so it shares no budget with the first.
    scope = msgspec.structs.replace(bundle.info.scope, min_side=65, max_side=None)
    other = replace(bundle, info=msgspec.structs.replace(bundle.info, name="large", scope=scope))
    alone = evaluate(bundle, folder)
    report = evaluate(bundle, folder, others=[other], out=tmp_path / "out")
    assert_without_probability(report, tmp_path / "out")
    assert report.provenance.bundle == "brightness+large"
    assert report.provenance.version == "1+1"
    assert report.provenance.model_sha256 == f"{bundle.model_sha256}+{bundle.model_sha256}"
    assert "brightness 1 does not say what it was trained on. large 1 does not say" in report.part.why
    assert report.as_is.verdicts == alone.as_is.verdicts
    assert report.as_is.headline.fpr == alone.as_is.headline.fpr
    # By hand: p_ai / p_real of 60, 80, 126, 180 (real) and 200, 210, 90, 200 (AI).
    real, ai = [1 / 69, 1 / 49, 1 / 3, 54], [74, 84, 1 / 39, 74]
    assert report.as_is.headline.auroc is not None
    assert report.as_is.headline.auroc.value == np.mean([a > r for a in ai for r in real])
    assert [mistake.path for mistake in report.false_positives] == ["test/REAL/land/d.png"]


def test_an_image_that_has_gone_since_it_was_judged_is_not_shown(tmp_path: Path) -> None:
    for name in ("real", "ai"):
        paint(tmp_path / name / "a.png", 100)
    dataset = Dataset.open(tmp_path)
    assert show(dataset, 0, None)
    for path in tmp_path.rglob("*.png"):
        path.unlink()
    assert show(dataset, 0, None) is None


def test_two_bundles_that_judge_the_same_share_the_budget(bundle: Bundle, folder: Path) -> None:
    report = evaluate(bundle, folder, others=[bundle], max_fpr=0.05)
    # Twice the p-value of 126, 0.06, is above the budget, and it is no less usual among AI images than before.
    assert report.as_is.verdicts == (VerdictRow(ai=1, real=3, uncertain=0), VerdictRow(ai=3, real=1, uncertain=0))
    with pytest.raises(PyriteError, match=r"1\.5% needs at least 133 real .* Choose max_fpr of at least 0\.02"):
        evaluate(bundle, folder, others=[bundle], max_fpr=0.015)


def test_a_caution_names_the_bundle_that_has_seen_the_images(bundle: Bundle, folder: Path) -> None:
    path = folder / "test" / "REAL" / "sea" / "a.png"
    trained = seen(bundle, [path])
    other = replace(trained, info=msgspec.structs.replace(trained.info, name="other"))
    part = evaluate(bundle, folder, others=[other]).part
    assert part.caution == "1 of the 10 judged images trained other 1 or chose it, so these figures are inflated."


@pytest.mark.parametrize("kept", [{"ai": {}}, {"ai": {}, "real": {}}, {}])
def test_a_bundle_without_a_probability_is_ranked_by_its_logit(
    bundle: Bundle, folder: Path, tmp_path: Path, kept: dict[str, object]
) -> None:
    report = evaluate(
        recalibrated(bundle, slope=None, intercept=None, **kept), folder, out=tmp_path / "out", robustness=True
    )
    assert_without_probability(report, tmp_path / "out")
    assert report.no_probability is not None
    assert "ranked by its logit" in report.no_probability
    expected = evaluate(bundle, folder)
    assert report.as_is.headline.auroc == expected.as_is.headline.auroc
    assert report.as_is.roc == expected.as_is.roc
    assert report.robustness is not None
    assert report.robustness.mean.accuracy is report.robustness.worst.ece is None
    assert report.robustness.lowest is not None
    if not kept:
        assert report.as_is.verdicts == expected.as_is.verdicts
    elif "real" in kept:
        assert report.reasons == {"uncalibrated": 8}
    else:
        assert report.as_is.verdicts[1].real == 0
        assert report.as_is.verdicts[1].ai == 3
