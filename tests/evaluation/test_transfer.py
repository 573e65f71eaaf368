"""AI images by generators that a bundle does not know."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

import painting
from pyrite.bundle import Bundle, Panel, save_bundle
from pyrite.datasets import Dataset, content_hashes, remember
from pyrite.errors import EvaluationError
from pyrite.evaluation import evaluate
from pyrite.evaluation.summary import transfer_line
from pyrite.evaluation.transfer import Transfer, measure_transfer


def paint(root: Path, label: str, name: str, brightness: int) -> str:
    painting.paint(root / label / f"{name}.png", brightness)
    return f"{label}/{name}.png"


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """Five AI images by two generators, of which the bundle calls two AI and three real; one more is no image."""
    root = tmp_path / "others"
    rows = ["path,label,generator"]
    for number, (brightness, generator) in enumerate([(255, "A"), (210, "A"), (30, "A"), (40, "B"), (127, "")]):
        rows.append(f"{paint(root, 'ai', str(number), brightness)},ai,{generator}")
    rows += [f"{paint(root, 'real', 'photo', 20)},real,", "ai/broken.png,ai,B"]
    (root / "ai" / "broken.png").write_bytes(b"no image")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def known(tmp_path: Path) -> Path:
    for number in range(4):
        paint(tmp_path / "known", "real", str(number), 10 * number)
        paint(tmp_path / "known", "ai", str(number), 255 - 10 * number)
    return tmp_path / "known"


def measured(bundle: Bundle, data: Path) -> Transfer:
    return measure_transfer(Panel((bundle,)), Dataset.open(data), lambda done, total: None)


def test_the_shares_are_of_the_ai_images_alone(bundle: Bundle, others: Path) -> None:
    found = measured(bundle, others)
    assert (found.images, found.unreadable, found.caution) == (5, 1, None)
    assert (found.called_ai.value, found.called_real.value) == (0.4, 0.6)
    assert found.called_real.low < 0.6 < found.called_real.high
    rows = {row.generator: (row.images, row.called_ai.value, row.called_real.value) for row in found.generators}
    assert rows == {"A": (3, pytest.approx(2 / 3), pytest.approx(1 / 3)), "B": (1, 0, 1), "not named": (1, 0, 1)}


def test_data_without_ai_images_is_refused_before_anything_is_judged(
    bundle: Bundle, known: Path, tmp_path: Path
) -> None:
    paint(tmp_path / "real", "real", "0", 10)
    paint(tmp_path / "real", "ai", "0", 200)
    only_real = Dataset.open(tmp_path / "real").select(np.array([1]))
    assert only_real.labels.tolist() == [0]
    stages: list[str] = []
    with pytest.raises(EvaluationError, match="has no AI images, so it shows nothing of unknown generators"):
        evaluate(bundle, known, unknown=only_real, watch=lambda stage, *_: stages.append(stage))
    assert not [stage for stage in stages if stage.startswith("Judging")]


def test_it_counts_what_a_policy_withholds(bundle: Bundle, others: Path) -> None:
    policy = msgspec.structs.replace(bundle.info.policy, real_needs_provenance=True)
    strict = Bundle(msgspec.structs.replace(bundle.info, policy=policy), bundle.files)
    assert measured(strict, others) == measured(bundle, others)


def test_a_report_has_it_or_says_that_it_was_not_measured(
    bundle: Bundle, known: Path, others: Path, tmp_path: Path
) -> None:
    steps: list[str] = []
    report = evaluate(bundle, known, unknown=others, out=tmp_path / "with", watch=lambda stage, *_: steps.append(stage))
    assert report.transfer == measured(bundle, others)
    assert steps.count("Judging unknown generators") == 6
    page = (tmp_path / "with" / "report.html").read_text()
    assert "Of 5 AI images of <em>others</em>" in page
    assert "1 more could not be judged." in page
    assert transfer_line(report) == (
        "Of 5 images from unknown generators (others), 60.0% (23.1% to 88.2%) are called real, and 40.0% AI. "
        "1 files could not be judged."
    )
    plain = evaluate(bundle, known, out=tmp_path / "without")
    assert plain.transfer is None
    assert "Not measured: the figures of this report" in (tmp_path / "without" / "report.html").read_text()
    assert "not measured" in transfer_line(plain)


def test_images_that_trained_the_bundle_are_told(bundle: Bundle, others: Path, tmp_path: Path) -> None:
    files = {**bundle.files, "trained_on.bin": remember(content_hashes(Dataset.open(others))[:1])}
    seen = save_bundle(tmp_path / "seen", bundle.info, files)
    found = measured(seen, others)
    assert found.caution
    assert found.caution.startswith("1 of the 6 judged images trained this bundle")


def test_without_ai_images_there_is_nothing_to_measure(bundle: Bundle, others: Path) -> None:
    dataset = Dataset.open(others)
    real = dataset.select(np.flatnonzero(dataset.labels == 0))
    with pytest.raises(EvaluationError, match="has no AI images"):
        measure_transfer(Panel((bundle,)), real, lambda done, total: None)
